/** IP addresses as text, by the rules of java.net.InetAddress (literals only, never a name lookup). */

/** 4 or 16 bytes of a literal address, or null. An IPv4-mapped IPv6 address becomes IPv4. */
export function parseInet(text: string): Buffer | null {
  if (text.includes(':')) {
    const literal = text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text;
    return parseIpv6(literal.replace(/%[A-Za-z0-9_.-]+$/, ''));
  }
  return parseIpv4(text);
}

/** One to four decimal parts; the last one fills what is left (127.1 is 127.0.0.1). */
function parseIpv4(text: string): Buffer | null {
  const parts = text.split('.');
  if (parts.length > 4 || !parts.every((part) => /^[0-9]{1,10}$/.test(part))) return null;
  const numbers = parts.map(Number);
  const last = numbers.pop() ?? 0;
  if (numbers.some((part) => part > 255) || last >= 256 ** (4 - numbers.length)) return null;
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(last);
  for (let i = 0; i < numbers.length; i++) bytes[i] = numbers[i];
  return bytes;
}

function parseIpv6(text: string): Buffer | null {
  const halves = text.split('::');
  if (halves.length > 2) return null;
  const head = groups(halves[0], halves.length === 1);
  const tail = halves.length === 2 ? groups(halves[1], true) : [];
  if (head === null || tail === null) return null;
  const missing = 16 - head.length - tail.length;
  if (halves.length === 2 ? missing < 2 : missing !== 0) return null;
  const bytes = Buffer.from([...head, ...new Array<number>(missing).fill(0), ...tail]);
  return isMapped(bytes) ? bytes.subarray(12) : bytes;
}

/** The bytes of groups between colons; where they end the address, the last may be dotted IPv4. */
function groups(text: string, endsAddress: boolean): number[] | null {
  if (text === '') return [];
  const bytes: number[] = [];
  const parts = text.split(':');
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i];
    if (endsAddress && i === parts.length - 1 && part.includes('.')) {
      const dotted = part.split('.').length === 4 ? parseIpv4(part) : null;
      if (dotted === null) return null;
      bytes.push(...dotted);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      const group = Number.parseInt(part, 16);
      bytes.push(group >> 8, group & 0xff);
    } else {
      return null;
    }
  }
  return bytes;
}

function isMapped(bytes: Uint8Array): boolean {
  for (let i = 0; i < 10; i++) if (bytes[i] !== 0) return false;
  return bytes[10] === 0xff && bytes[11] === 0xff;
}

/** As Java's getHostAddress(): dotted, or eight hex groups without any abbreviation. */
export function formatInet(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  if (isMapped(bytes)) return bytes.subarray(12).join('.');
  const parts: string[] = [];
  for (let i = 0; i < 16; i += 2) parts.push(((bytes[i] << 8) | bytes[i + 1]).toString(16));
  return parts.join(':');
}
