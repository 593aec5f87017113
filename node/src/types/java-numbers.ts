/** Floating point numbers as text, as Java prints and reads them: clients see these in JSON. */

/** As Double.toString(): `1.0`, `1.0E10`, `NaN`, `-Infinity`. */
export function formatDouble(value: number): string {
  const magnitude = Math.abs(value);
  // Java prints two digits at least, here those nearest to the number.
  return format(value, magnitude === Number.MIN_VALUE ? '4.9e-324' : String(magnitude));
}

/** As Float.toString(): the fewest digits that give the same 32-bit number. */
export function formatFloat(value: number): string {
  const magnitude = Math.abs(value);
  if (!Number.isFinite(magnitude) || magnitude === 0) return format(value, '0');
  for (let digits = 1; digits < 9; digits++) {
    const text = magnitude.toPrecision(digits);
    if (Math.fround(Number(text)) === magnitude) return format(value, text);
  }
  return format(value, magnitude.toPrecision(9));
}

function format(value: number, text: string): string {
  if (Number.isNaN(value)) return 'NaN';
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  if (!Number.isFinite(value)) return `${sign}Infinity`;
  if (value === 0) return `${sign}0.0`;
  const match = /^([0-9]+)(?:\.([0-9]+))?(?:e([+-][0-9]+))?$/.exec(text) as RegExpExecArray;
  const whole = match[1];
  const all = whole + (match[2] ?? '');
  const digits = all.replace(/^0+/, '').replace(/0+$/, '');
  // The number is 0.digits × 10^point.
  const leadingZeros = all.length - all.replace(/^0+/, '').length;
  const point = whole.length - leadingZeros + Number(match[3] ?? '0');
  if (point < -2 || point > 7) {
    return `${sign}${digits[0]}.${digits.slice(1) || '0'}E${point - 1}`;
  }
  if (point <= 0) return `${sign}0.${'0'.repeat(-point)}${digits}`;
  const padded = digits.padEnd(point + 1, '0');
  return `${sign}${padded.slice(0, point)}.${padded.slice(point)}`;
}

const NUMBER = /^[+-]?(?:NaN|Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fFdD]?)$/;

/** Reads what Double.valueOf() takes (but hexadecimal floats); null if it is not a number. */
export function parseDouble(text: string): number | null {
  const trimmed = text.trim();
  if (!NUMBER.test(trimmed)) return null;
  if (trimmed.endsWith('NaN')) return Number.NaN;
  return Number(trimmed.replace(/[fFdD]$/, ''));
}
