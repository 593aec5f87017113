/** The listener over real sockets of the loopback interface. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import type { ByteStream } from '../transport/index.ts';
import { createTcpListener } from './tcp-listener.ts';

const OPTIONS = {
  host: '127.0.0.1',
  port: 0,
  reusePort: false,
  tls: null,
  handshakeMillisMax: 10_000,
};
const never = () => assert.fail('no handshake takes too long here');

test('bytes go both ways; ends and errors are told once', async () => {
  const events: string[] = [];
  const streams: ByteStream[] = [];
  const listener = createTcpListener(OPTIONS);
  const { port } = await listener.listen((stream) => {
    streams.push(stream);
    stream.start({
      onData: (chunk) => {
        events.push(`data ${chunk}`);
        stream.write(chunk, () => events.push('written'));
      },
      onEnd: () => {
        events.push('end');
        stream.end();
      },
      onClosed: (error) => events.push(`closed ${error}`),
    });
  }, never);
  const socket = connect(port, '127.0.0.1');
  socket.write('hello');
  const [echo] = await once(socket, 'data');
  assert.equal(`${echo}`, 'hello');
  assert.equal(streams[0].remote.port, socket.localPort);
  assert.equal(streams[0].local.port, port);
  assert.equal(streams[0].tls, null);
  socket.end();
  await once(socket, 'close');
  await listener.close();
  assert.deepEqual(events, ['data hello', 'written', 'end', 'closed null']);
});

test('a paused stream delivers after resume; a reset is an error', async () => {
  const listener = createTcpListener(OPTIONS);
  const received: string[] = [];
  const done = Promise.withResolvers<Error | null>();
  const { port } = await listener.listen((stream) => {
    stream.start({
      onData: (chunk) => received.push(`${chunk}`),
      onEnd: () => {},
      onClosed: done.resolve,
    });
    stream.pause();
    setImmediate(() => {
      assert.deepEqual(received, []);
      stream.resume();
    });
  }, never);
  const socket = connect(port, '127.0.0.1');
  socket.write('x');
  while (received.length === 0) await new Promise(setImmediate);
  socket.resetAndDestroy();
  assert.match(`${await done.promise}`, /ECONNRESET/);
  await listener.close();
});

test('a port in use is refused, with reusePort it is shared', async () => {
  const first = createTcpListener({ ...OPTIONS, reusePort: true });
  const { port } = await first.listen(() => {}, never);
  const second = createTcpListener({ ...OPTIONS, port, reusePort: true });
  await second.listen(() => {}, never);
  const third = createTcpListener({ ...OPTIONS, port });
  await assert.rejects(
    third.listen(() => {}, never),
    { code: 'EADDRINUSE' },
  );
  await Promise.all([first.close(), second.close()]);
});

test('a client that does not complete its TLS handshake is closed and told of', async () => {
  const listener = createTcpListener({
    ...OPTIONS,
    tls: { current: () => ({}), onChange: () => () => {} },
    handshakeMillisMax: 20,
  });
  const late = Promise.withResolvers<void>();
  const { port } = await listener.listen(() => assert.fail('there was no handshake'), late.resolve);
  const socket = connect(port, '127.0.0.1');
  const closed = once(socket, 'close');
  socket.resume();
  // The first bytes of a record, and no more.
  socket.write(Buffer.from('160301', 'hex'));
  await late.promise;
  await closed;
  await listener.close();
});
