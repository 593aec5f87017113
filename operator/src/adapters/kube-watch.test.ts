import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import type { Secret } from '../ports/kube-objects.ts';
import { createKubeClient } from './kube-client.ts';
import { createTransport, lineCutter } from './kube-transport.ts';
import { type Asked, startScriptedServer } from './testing/scripted-server.ts';

const object = (name: string, resourceVersion: string) => ({
  metadata: { namespace: 'db', name, uid: name, resourceVersion },
});
const line = (type: string, value: object) => `${JSON.stringify({ type, object: value })}\n`;
const bookmark = (resourceVersion: string) => line('BOOKMARK', { metadata: { resourceVersion } });

type Watch = (response: ServerResponse, asked: Asked) => void;

/** Runs a watch whose requests are answered one after the other, the last of them for ever. @returns what the sink saw */
async function seen(
  watches: readonly Watch[],
  isOver: (told: readonly string[], asked: readonly Asked[]) => boolean,
) {
  let watch = 0;
  let lists = 0;
  await using server = await startScriptedServer((asked) => {
    if (asked.query['watch'] !== 'true') {
      lists++;
      const items = [object(`listed${lists}`, '1')];
      return [200, { metadata: { resourceVersion: String(lists * 10) }, items }];
    }
    const answer = watches[Math.min(watch++, watches.length - 1)];
    return (response) => answer(response, asked);
  });
  const told: string[] = [];
  const failures: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const note = (text: string) => {
    told.push(text);
    if (isOver(told, server.asked)) resolve();
  };
  const api = createKubeClient(createTransport(server.access, { bytesMax: 4_000 }), {
    instance: 'me',
    onCall: ({ verb, outcome }) => {
      if (verb === 'watch') failures.push(outcome);
    },
    times: { backoffMillis: [5, 20], idleMillis: 150, random: () => 0 },
  });
  const stop = api.watch('Secret', 'db', {
    replaced: (all: readonly Secret[]) => note(`= ${all.map(({ metadata }) => metadata.name)}`),
    changed: ({ kind, metadata }) => note(`+ ${kind} ${metadata.name}`),
    deleted: ({ metadata }) => note(`- ${metadata.name}`),
  });
  await promise;
  stop();
  return { told, failures, asked: server.asked };
}

const send =
  (...lines: readonly string[]): Watch =>
  (response) => {
    response.write(lines.join(''));
  };
const sendAndEnd =
  (...lines: readonly string[]): Watch =>
  (response) => {
    response.end(lines.join(''));
  };
const versions = (asked: readonly Asked[]) =>
  asked.map(({ query }) => (query['watch'] === 'true' ? query['resourceVersion'] : 'list'));

test('a watch goes on from the last version seen, bookmarks among them', async () => {
  const { told, asked, failures } = await seen(
    [
      sendAndEnd(line('ADDED', object('a', '11')), line('DELETED', object('a', '12'))),
      sendAndEnd(bookmark('15')),
      (response) => {
        response.write(bookmark('17'));
        setTimeout(() => response.socket?.destroy(), 10);
      },
      send(line('MODIFIED', object('b', '18'))),
    ],
    (list) => list.includes('+ Secret b'),
  );
  assert.deepEqual(told, ['= listed1', '+ Secret a', '- a', '+ Secret b']);
  assert.deepEqual(versions(asked), ['list', '10', '12', '15', '17']);
  assert.deepEqual(failures, ['UNAVAILABLE']);
  const { query } = asked[1];
  assert.equal(query['allowWatchBookmarks'], 'true');
  assert.equal(query['timeoutSeconds'], '240');
});

test('a version that is too old begins anew, told by HTTP or in the watch', async () => {
  const gone = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' };
  const { told, asked, failures } = await seen(
    [
      sendAndEnd(line('ERROR', gone)),
      (response) => response.writeHead(410).end(JSON.stringify(gone)),
      send(line('ADDED', object('c', '31'))),
    ],
    (list) => list.includes('+ Secret c'),
  );
  assert.deepEqual(told, ['= listed1', '= listed2', '= listed3', '+ Secret c']);
  assert.deepEqual(versions(asked), ['list', '10', 'list', '20', 'list', '30']);
  assert.deepEqual(failures, ['GONE', 'GONE']);
});

test('a silent connection, a line too long and one that is no JSON are given up', async () => {
  const { asked, failures } = await seen(
    [
      send(),
      send('x'.repeat(5_000)),
      send('nonsense\n'),
      send('{"type":1}\n'),
      (response) => response.writeHead(500).end('{}'),
      send(line('ADDED', object('d', '11'))),
    ],
    (list) => list.includes('+ Secret d'),
  );
  // Silence may be of a version that the server has not: all is read anew.
  assert.deepEqual(versions(asked), ['list', '10', 'list', '20', '20', '20', '20', '20']);
  assert.deepEqual(failures, Array(5).fill('UNAVAILABLE'));
});

test('a server that always fails is asked more and more seldom', async () => {
  let count = 0;
  await using server = await startScriptedServer(() => {
    count++;
    return [500, {}];
  });
  const waits: number[] = [];
  let last = performance.now();
  const { promise, resolve } = Promise.withResolvers<void>();
  const api = createKubeClient(createTransport(server.access), {
    instance: 'me',
    onCall: ({ verb }) => {
      if (verb !== 'watch') return;
      waits.push(performance.now() - last);
      last = performance.now();
      if (waits.length === 7) resolve();
    },
    times: { backoffMillis: [4, 1_000], random: () => 0 },
  });
  const stop = api.watch('Secret', null, {
    replaced: () => assert.fail(),
    changed: () => assert.fail(),
    deleted: () => assert.fail(),
  });
  await promise;
  stop();
  assert.equal(count, 7);
  // 2 × 2^n ms before the n-th retry, and the request itself.
  assert.ok(waits[6] >= 64 && waits[5] >= 32, waits.join(' '));
});

test('lines are cut wherever they are torn', () => {
  const text = 'ä\nbb\n\nc\nrest';
  const bytes = Buffer.from(text);
  for (let at = 0; at <= bytes.length - 4; at++) {
    const lines: string[] = [];
    const cut = lineCutter(3, (one) => lines.push(one));
    assert.ok(cut(bytes.subarray(0, at)));
    const isShort = cut(bytes.subarray(at));
    assert.equal(isShort, false, 'rest is longer than 3');
    assert.deepEqual(lines, ['ä', 'bb', 'c']);
  }
});
