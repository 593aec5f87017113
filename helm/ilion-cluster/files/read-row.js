// Reads one row over CQL: STARTUP, then a query at ONE. Exit 0 if the answer is rows.
const { connect } = require('node:net');
const [host, port] = process.argv.slice(-2);
const frame = (opcode, body) => {
  const header = Buffer.from([0x04, 0, 0, 1, opcode, 0, 0, 0, 0]);
  header.writeUInt32BE(body.length, 5);
  return Buffer.concat([header, body]);
};
const text = (value, bytes) => {
  const length = Buffer.alloc(bytes);
  length.writeUIntBE(Buffer.byteLength(value), 0, bytes);
  return Buffer.concat([length, Buffer.from(value)]);
};
const startup = Buffer.concat([Buffer.from([0, 1]), text('CQL_VERSION', 2), text('3.0.0', 2)]);
const query = text('SELECT release_version FROM system.local', 4);
const fail = (why) => {
  console.error(`${host}:${port}: ${why}`);
  process.exit(1);
};
const socket = connect(Number(port), host, () => socket.write(frame(0x01, startup)));
socket.on('error', (error) => fail(error.message));
socket.on('close', () => fail('the connection was closed'));
socket.setTimeout(20000, () => fail('no answer in 20 s'));
let seen = Buffer.alloc(0);
socket.on('data', (chunk) => {
  seen = Buffer.concat([seen, chunk]);
  while (seen.length >= 9 && seen.length >= 9 + seen.readUInt32BE(5)) {
    const body = seen.subarray(9, 9 + seen.readUInt32BE(5));
    const opcode = seen[4];
    seen = seen.subarray(9 + body.length);
    if (opcode === 0x02) socket.write(frame(0x07, Buffer.concat([query, Buffer.from([0, 1, 0])])));
    else if (opcode === 0x08 && body.readUInt32BE(0) === 2) {
      console.log(`${host}:${port} has answered with a row`);
      process.exit(0);
    } else if (opcode === 0x03) fail('it wants a user name: this test has none');
    else fail(`an answer that was not expected: ${opcode} ${body.toString('latin1')}`);
  }
});
