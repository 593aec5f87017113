/** cert-manager itself (programs/cmd/cert-manager), as a process of this machine that talks to a cluster. */
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { type Kubernetes, preparePrograms } from './cluster.ts';

/** Ends when it is disposed of, and at the latest when this process does. */
export async function startCertManager(kube: Kubernetes): Promise<AsyncDisposable> {
  const bin = await preparePrograms();
  // Beyond what an annotation of `kubectl apply` holds.
  await kube.kubectl(['apply', '--server-side', '-f', join(bin, '../cert-manager.yaml')]);
  await kube.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
  const child = spawn(join(bin, 'cert-manager'), ['--kubeconfig', kube.kubeconfig], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  child.stderr.pipe(createWriteStream(join(kube.state, 'cert-manager.log')));
  const stop = () => child.kill('SIGKILL');
  process.once('exit', stop);
  return {
    [Symbol.asyncDispose]: async () => {
      process.off('exit', stop);
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise((resolve) => child.once('exit', resolve));
      stop();
      await ended;
    },
  };
}

/** An authority that cert-manager makes, and the issuer of type CA of the same name that signs with it. */
export async function makeIssuer(kube: Kubernetes, namespace: string, name: string): Promise<void> {
  const apiVersion = 'cert-manager.io/v1';
  const metadata = (own: string) => ({ name: own, namespace });
  const root = `${name}-root`;
  await kube.apply(
    { apiVersion, kind: 'Issuer', metadata: metadata('self'), spec: { selfSigned: {} } },
    {
      ...{ apiVersion, kind: 'Certificate', metadata: metadata(root) },
      spec: {
        ...{ isCA: true, commonName: root, secretName: root },
        privateKey: { algorithm: 'ECDSA', size: 256 },
        issuerRef: { name: 'self' },
      },
    },
    { apiVersion, kind: 'Issuer', metadata: metadata(name), spec: { ca: { secretName: root } } },
  );
}
