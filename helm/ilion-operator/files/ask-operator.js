// Asks the operator whether it is ready, and whether the API server has refused it something. Exit 0 if all is well.
const [host, port] = process.argv.slice(-2);
const fail = (why) => {
  console.error(`${host}:${port}: ${why}`);
  process.exit(1);
};
const ask = async (path) => {
  const answer = await fetch(`http://${host}:${port}/${path}`, { signal: AbortSignal.timeout(20000) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${path} says ${answer.status}: ${text}`);
  return text;
};
(async () => {
  await ask('readyz');
  const forbidden = (await ask('metrics')).match(/^ilion_operator_kube_calls_total\{.*outcome="FORBIDDEN".*$/m);
  if (forbidden !== null) fail(`it lacks rights (see rbac.create): ${forbidden[0]}`);
  console.log(`${host}:${port} is ready, and has the rights it needs`);
})().catch((error) => fail(String(error.cause ?? error)));
