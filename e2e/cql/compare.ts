/** Golden texts against answers, statement by statement. */

interface Part {
  readonly request: string;
  readonly answer: string;
}

function split(text: string): Part[] {
  const parts: { request: string; answer: string }[] = [];
  let inRequest = false;
  for (const line of text.split('\n')) {
    if (line.startsWith('#')) continue;
    if (line.startsWith('> ')) {
      if (!inRequest) parts.push({ request: '', answer: '' });
      inRequest = true;
      const part = parts[parts.length - 1];
      part.request += `${line.slice(2)}\n`;
    } else if (parts.length > 0) {
      inRequest = false;
      parts[parts.length - 1].answer += `${line}\n`;
    }
  }
  return parts;
}

/** Text without what no two servers need to agree on. */
export function comparable(answer: string): string {
  return (
    answer
      // The order in which Cassandra lists overloads changes from run to run.
      .replace(/\(known type signatures: ([^\n]*)\)$/gm, (_, list: string) => {
        const signatures = list.split(/, (?=system\.)/).sort();
        return `(known type signatures: ${signatures.join(', ')})`;
      })
      // Cassandra asks for one more page where it has not looked whether there is more.
      .replace(/ {2}…\n(?: {2}warning: [^\n]*\n)? {2}\[[^\]]*\] [^\n]*\n(?! {2}=| {2}…)/g, '')
  );
}

/**
 * @param accepted answers that differ on purpose, in the form of a golden text
 * @returns a description of each difference
 */
export function compareExchanges(golden: string, actual: string, accepted = ''): string[] {
  const wanted = split(golden);
  const found = split(actual);
  const differences: string[] = [];
  const deliberate = new Map(
    split(accepted).map((part) => [part.request, comparable(part.answer).trim()]),
  );
  for (let i = 0; i < Math.max(wanted.length, found.length); i++) {
    const a = wanted[i] ?? { request: '(nothing)', answer: '' };
    const b = found[i] ?? { request: '(nothing)', answer: '' };
    if (a.request === b.request && comparable(a.answer) === comparable(b.answer)) continue;
    if (a.request === b.request && deliberate.get(b.request) === comparable(b.answer).trim())
      continue;
    differences.push(`> ${b.request.trimEnd()}\nwanted\n${a.answer}found\n${b.answer}`);
  }
  return differences;
}
