/**
 * Bytes of the protocol, version by version, written by hand from the specification (v3, v4, v5).
 * Spaces in the hex are for the reader.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Writer } from '../common/bytes.ts';
import * as errors from '../common/errors.ts';
import type { CqlType } from '../types/cql-type.ts';
import { decodeError } from './client-codec.ts';
import { decodeBatch, decodeExecute, decodePrepare, decodeQuery } from './decode-request.ts';
import { writeErrorBody } from './error-body.ts';
import { type ServerEvent, writeEvent } from './events.ts';
import { MemoryClient, MemoryWorld } from './memory-world.ts';
import type { ProtocolVersion } from './protocol.ts';
import { valueAt } from './request.ts';
import {
  type ColumnSpec,
  encodeMetadata,
  writePrepared,
  writeRowsHeader,
  writeSchemaChangeResult,
  writeSetKeyspace,
  writeVoid,
} from './result.ts';

const INT: CqlType = { kind: 'native', name: 'int' };
const TEXT: CqlType = { kind: 'native', name: 'text' };
const K: ColumnSpec = { keyspace: 'ks', table: 't', name: 'k', type: INT };
const V: ColumnSpec = { keyspace: 'ks', table: 't', name: 'v', type: TEXT };
const OTHER: ColumnSpec = { keyspace: 'ks', table: 'u', name: 'w', type: INT };

/** Checksums of the v5 segments above, by Python's zlib and a bitwise CRC24. */
const REGISTER_CRC24 = '2055a2';
const REGISTER_CRC32 = '7bfc711e';
const READY_CRC24 = 'a4c8c1';
const READY_CRC32 = 'e128c91f';

function bytes(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(' ', ''), 'hex');
}

function written(write: (out: Writer) => void): string {
  const out = new Writer();
  write(out);
  return out.view().toString('hex');
}

function expectHex(actual: string, expected: string): void {
  assert.equal(actual, expected.replaceAll(' ', ''));
}

/** ASCII as hex. */
function hex(text: string): string {
  return Buffer.from(text).toString('hex');
}

describe('handshake frames', () => {
  const supported =
    `0003 0011${hex('PROTOCOL_VERSIONS')} 0003 0004${hex('3/v3')} 0004${hex('4/v4')} 0004${hex('5/v5')}` +
    ` 000b${hex('COMPRESSION')} 0002 0006${hex('snappy')} 0003${hex('lz4')}` +
    ` 000b${hex('CQL_VERSION')} 0001 0005${hex('3.4.7')}`;
  const startup = `0001 000b${hex('CQL_VERSION')} 0005${hex('3.0.0')}`;

  for (const version of [3, 4, 5] as const) {
    test(`v${version}: OPTIONS, STARTUP, and REGISTER as the first message after`, () => {
      const world = new MemoryWorld();
      const { stream } = new MemoryClient(world, version, null);
      const length = (text: string): string => bytes(text).length.toString(16).padStart(8, '0');
      const reply = (request: string): string => {
        stream.deliver(bytes(request));
        world.flush();
        return stream.takeSent().toString('hex');
      };
      const options = reply(`0${version}00000105 00000000`);
      expectHex(options, `8${version}00000106 ${length(supported)} ${supported}`);
      const ready = reply(`0${version}00fffe01 ${length(startup)} ${startup}`);
      expectHex(ready, `8${version}00fffe02 00000000`);
      const body = `0001 000d${hex('STATUS_CHANGE')}`;
      const register = `0${version}0000030b ${length(body)} ${body}`;
      if (version < 5) {
        expectHex(reply(register), `8${version}00000302 00000000`);
      } else {
        // A self-contained segment of 26 bytes, and one of 9.
        expectHex(
          reply(`1a0002 ${REGISTER_CRC24} ${register} ${REGISTER_CRC32}`),
          `090002 ${READY_CRC24} 8500000302 00000000 ${READY_CRC32}`,
        );
      }
    });
  }
});

describe('requests', () => {
  test('QUERY: every parameter in v4', () => {
    const body = bytes(
      '00000001 51 0006 7f 0001 0001 6e 00000001 76 00000064 00000002 abcd 0009 00000000 00000007',
    );
    const request = decodeQuery(4, body, 0, body.length);
    assert.equal(request.query, 'Q');
    assert.equal(request.consistency, 6);
    assert.deepEqual(request.names, ['n']);
    assert.equal(valueAt(request, 0)?.toString(), 'v');
    assert.equal(request.skipMetadata, true);
    assert.equal(request.pageSize, 100);
    assert.deepEqual(request.pagingState, bytes('abcd'));
    assert.equal(request.serialConsistency, 9);
    assert.equal(request.timestamp, 7n);
  });

  test('QUERY: keyspace and now in v5, wide flags', () => {
    const body = bytes('00000001 51 0001 00000180 0002 6b73 ffffffff');
    const request = decodeQuery(5, body, 0, body.length);
    assert.equal(request.keyspace, 'ks');
    assert.equal(request.nowInSeconds, 4294967295);
    assert.equal(request.timestamp, null);
  });

  test('EXECUTE: v3 takes -2 for null, v4 for unset, v5 has the metadata id', () => {
    const v4 = bytes('0002 0a0b 000a 01 0003 00000001 ff ffffffff fffffffe');
    const request = decodeExecute(4, v4, 0, v4.length);
    assert.deepEqual(request.statementId, bytes('0a0b'));
    assert.equal(request.resultMetadataId, null);
    assert.deepEqual(request.positions, [13, 1, 18, -1, 22, -2]);
    assert.equal(valueAt(decodeExecute(3, v4, 0, v4.length), 2), null);
    const v5 = bytes('0002 0a0b 0001 0c 000a 00000000');
    assert.deepEqual(decodeExecute(5, v5, 0, v5.length).resultMetadataId, bytes('0c'));
  });

  test('BATCH: text and prepared', () => {
    const body = bytes(
      '01 0002 00 00000001 51 0000 01 0002 0a0b 0001 00000001 07 0001 20 ffffffff fffffffe',
    );
    const request = decodeBatch(4, body, 0, body.length);
    assert.equal(request.type, 1);
    const [text, prepared] = request.statements;
    assert.deepEqual([text.kind, text.query], ['query', 'Q']);
    assert.deepEqual([prepared.kind, prepared.statementId], ['prepared', bytes('0a0b')]);
    assert.deepEqual(valueAt(prepared, 0), bytes('07'));
    assert.equal(request.timestamp, -2n);
  });

  test('PREPARE: the keyspace of v5', () => {
    const v4 = bytes('00000001 51');
    assert.equal(decodePrepare(4, v4, 0, v4.length).query, 'Q');
    const v5 = bytes('00000001 51 00000001 0002 6b73');
    assert.equal(decodePrepare(5, v5, 0, v5.length).keyspace, 'ks');
  });

  test('refusals in Cassandra’s words', () => {
    const cases: readonly [string, RegExp][] = [
      ['0001 0a 000b 00', /^Unknown code 11 for a consistency level$/],
      ['0001 0a 0001 01 0001 fffffffd', /^Invalid ByteBuf length -3$/],
      ['0001 0a 0001 20 80000000 00000000', /^Out of bound timestamp, must be in \[-92/],
      ['0001 0a 0001 01 ffff', /ends too early/],
      ['0009 0a', /ends too early/],
    ];
    for (const [text, message] of cases) {
      const body = bytes(text);
      assert.throws(() => decodeExecute(4, body, 0, body.length), { name: 'CqlError', message });
    }
    const batch = bytes('03 0000 0001 00');
    assert.throws(() => decodeBatch(4, batch, 0, batch.length), /Invalid BATCH message type 3/);
    const kind = bytes('00 0001 02 0000 0000');
    assert.throws(() => decodeBatch(4, kind, 0, kind.length), /Must be 0 or 1 but got 2/);
  });
});

describe('results', () => {
  test('void, set_keyspace, schema_change', () => {
    expectHex(written(writeVoid), '00000001');
    expectHex(
      written((out) => writeSetKeyspace(out, 'ks')),
      '00000003 0002 6b73',
    );
    const change = { change: 'CREATED', target: 'KEYSPACE', keyspace: 'ks', name: '' } as const;
    expectHex(
      written((out) => writeSchemaChangeResult(out, change, 4)),
      `00000005 0007${hex('CREATED')} 0008${hex('KEYSPACE')} 00026b73`,
    );
  });

  test('rows: one table, several tables, skipped, paged, changed', () => {
    const columns = '0002 6b73 0001 74 0001 6b 0009 0001 76 000d';
    const metadata = encodeMetadata([K, V], 4);
    const rows = (options: Parameters<typeof writeRowsHeader>[2]): string =>
      written((out) => writeRowsHeader(out, metadata, options));
    expectHex(rows({}), `00000002 00000001 00000002 ${columns}`);
    expectHex(rows({ skipMetadata: true }), '00000002 00000005 00000002');
    expectHex(
      rows({ pagingState: bytes('aa') }),
      `00000002 00000003 00000002 00000001 aa ${columns}`,
    );
    expectHex(
      rows({ newMetadataId: bytes('bb'), skipMetadata: true }),
      '00000002 00000005 00000002',
    );
    expectHex(
      written((out) =>
        writeRowsHeader(out, encodeMetadata([K, V], 5), {
          pagingState: bytes('aa'),
          newMetadataId: bytes('bb'),
          skipMetadata: true,
        }),
      ),
      `00000002 0000000b 00000002 00000001 aa 0001 bb ${columns}`,
    );
    expectHex(
      written((out) => writeRowsHeader(out, encodeMetadata([K, OTHER], 4))),
      '00000002 00000000 00000002 0002 6b73 0001 74 0001 6b 0009 0002 6b73 0001 75 0001 77 0009',
    );
  });

  test('prepared: v3 without key indexes, v4 with, v5 with the metadata id', () => {
    const prepared = (version: ProtocolVersion, select: boolean): string =>
      written((out) =>
        writePrepared(
          out,
          {
            statementId: bytes('0102'),
            resultMetadataId: bytes('03'),
            variables: encodeMetadata([K], version),
            partitionKeyIndexes: [0],
            result: select ? encodeMetadata([V], version) : null,
          },
          version,
        ),
      );
    const variable = '0002 6b73 0001 74 0001 6b 0009';
    const result = '00000001 00000001 0002 6b73 0001 74 0001 76 000d';
    const none = '00000004 00000000';
    expectHex(prepared(3, false), `00000004 0002 0102 00000001 00000001 ${variable} ${none}`);
    expectHex(
      prepared(4, true),
      `00000004 0002 0102 00000001 00000001 00000001 0000 ${variable} ${result}`,
    );
    expectHex(
      prepared(5, true),
      `00000004 0002 0102 0001 03 00000001 00000001 00000001 0000 ${variable} ${result}`,
    );
  });
});

describe('errors', () => {
  test('Unavailable names the level, as Cassandra does', () => {
    assert.equal(errors.unavailable(4, 2, 1).message, 'Cannot achieve consistency level QUORUM');
    assert.equal(errors.unavailable(99, 2, 1).message, 'Cannot achieve consistency level 99');
  });

  const acks = { consistency: 4, received: 1, required: 2 };
  const failures = [{ endpoint: bytes('7f000001'), reasonCode: 1 }];
  const counts = '0004 00000001 00000002';
  /** The error, then what follows its message in v3, v4 and v5 with the code sent. */
  const cases: readonly [errors.CqlError, readonly [string, string, string]][] = [
    [errors.serverError('m'), ['0000', '0000', '0000']],
    [errors.protocolError('m'), ['000a', '000a', '000a']],
    [errors.authError('m'), ['0100', '0100', '0100']],
    [errors.unavailable(4, 2, 1), Array(3).fill('1000 0004 00000002 00000001') as Three],
    [errors.overloaded('m'), ['1001', '1001', '1001']],
    [errors.isBootstrapping(), ['1002', '1002', '1002']],
    [errors.truncateError('m'), ['1003', '1003', '1003']],
    [
      errors.writeTimeout(acks, 'SIMPLE'),
      Array(3).fill(`1100 ${counts} 0006${hex('SIMPLE')}`) as Three,
    ],
    [
      errors.writeTimeout(acks, 'CAS', 3),
      [
        `1100 ${counts} 0003${hex('CAS')}`,
        `1100 ${counts} 0003${hex('CAS')}`,
        `1100 ${counts} 0003${hex('CAS')} 0003`,
      ],
    ],
    [errors.readTimeout(acks, true), Array(3).fill(`1200 ${counts} 01`) as Three],
    [
      errors.readFailure(acks, failures, false),
      [
        `1200 ${counts} 00`,
        `1300 ${counts} 00000001 00`,
        `1300 ${counts} 00000001 04 7f000001 0001 00`,
      ],
    ],
    [
      errors.functionFailure('ks', 'f', ['int'], 'r'),
      [
        '2200',
        `1400 0002 6b73 0001 66 0001 0003${hex('int')}`,
        `1400 0002 6b73 0001 66 0001 0003${hex('int')}`,
      ],
    ],
    [
      errors.writeFailure(acks, failures, 'BATCH'),
      [
        `1100 ${counts} 0005${hex('BATCH')}`,
        `1500 ${counts} 00000001 0005${hex('BATCH')}`,
        `1500 ${counts} 00000001 04 7f000001 0001 0005${hex('BATCH')}`,
      ],
    ],
    [errors.cdcWriteFailure('m'), ['1600', '1600', '1600']],
    [
      errors.casWriteUnknown(acks),
      [`1100 ${counts} 0003${hex('CAS')}`, `1100 ${counts} 0003${hex('CAS')}`, `1700 ${counts}`],
    ],
    [errors.syntaxError('m'), ['2000', '2000', '2000']],
    [errors.unauthorized('m'), ['2100', '2100', '2100']],
    [errors.invalidRequest('m'), ['2200', '2200', '2200']],
    [errors.configError('m'), ['2300', '2300', '2300']],
    [errors.alreadyExists('ks', 't'), Array(3).fill('2400 0002 6b73 0001 74') as Three],
    [errors.unprepared(bytes('0102')), Array(3).fill('2500 0002 0102') as Three],
  ];

  for (const [error, expected] of cases) {
    test(`0x${error.code.toString(16).padStart(4, '0')} ${error.detail?.kind ?? ''}`, () => {
      for (const version of [3, 4, 5] as const) {
        const [code, ...detail] = expected[version - 3].split(' ');
        const message = written((out) => out.string(error.message));
        const body = written((out) => writeErrorBody(out, error, version));
        expectHex(body, `0000${code} ${message} ${detail.join('')}`);
        const decoded = decodeError(bytes(body), version);
        assert.equal(decoded.message, error.message);
        if (version === 5) assert.deepEqual(decoded.detail, error.detail);
      }
    });
  }
});

type Three = [string, string, string];

describe('events', () => {
  const node = { address: bytes('7f000001'), port: 9042 };
  const schema = { type: 'SCHEMA_CHANGE', change: 'DROPPED', keyspace: 'ks', name: 'f' } as const;
  const cases: readonly [ServerEvent, ProtocolVersion, string][] = [
    [
      { type: 'TOPOLOGY_CHANGE', change: 'NEW_NODE', ...node },
      3,
      `000f${hex('TOPOLOGY_CHANGE')} 0008${hex('NEW_NODE')} 04 7f000001 00002352`,
    ],
    [
      { type: 'STATUS_CHANGE', change: 'DOWN', address: Buffer.alloc(16, 1), port: 1 },
      5,
      `000d${hex('STATUS_CHANGE')} 0004${hex('DOWN')} 10 ${'01'.repeat(16)} 00000001`,
    ],
    [
      { ...schema, target: 'FUNCTION', argumentTypes: ['int'] },
      4,
      `000d${hex('SCHEMA_CHANGE')} 0007${hex('DROPPED')} 0008${hex('FUNCTION')} 00026b73 000166 0001 0003${hex('int')}`,
    ],
    [
      { ...schema, target: 'FUNCTION', argumentTypes: ['int'] },
      3,
      `000d${hex('SCHEMA_CHANGE')} 0007${hex('UPDATED')} 0008${hex('KEYSPACE')} 00026b73`,
    ],
    [
      { ...schema, target: 'TYPE' },
      3,
      `000d${hex('SCHEMA_CHANGE')} 0007${hex('DROPPED')} 0004${hex('TYPE')} 00026b73 000166`,
    ],
  ];
  for (const [event, version, expected] of cases) {
    test(`${event.type} ${event.change} in v${version}`, () => {
      expectHex(
        written((out) => writeEvent(out, event, version)),
        expected,
      );
    });
  }
});
