/**
 * What may follow a rule anywhere in the grammar.
 *
 * Cassandra's generated parser looks one token past a name or a value before it decides what the name or
 * value is. If no rule continues with that token it says `no viable alternative`; if some other rule than
 * the present one does, it goes on and says later that something else was expected. These sets repeat that
 * decision, so that the same mistakes get the same messages. They never change what is accepted.
 */

function tokenTypes(symbols: string, words: string): ReadonlySet<string> {
  const punctuation = symbols.split(' ').map((symbol) => `'${symbol}'`);
  const keywords = words.split(' ').map((word) => `K_${word}`);
  return new Set([...punctuation, ...keywords, 'EOF']);
}

/** After the name of a table or view. */
export const AFTER_TABLE = tokenTypes(
  '( ; .',
  'ADD ALLOW ALTER AS DROP FROM GROUP JSON LIKE LIMIT NORECURSIVE OF ORDER PER PRIMARY RENAME SET TO USING WHERE WITH',
);

/** After a type, or after the name of a user type. */
export const AFTER_TYPE = tokenTypes(
  '( ) , > ; .',
  'ADD ALTER FINALFUNC INITCOND LANGUAGE MASKED PRIMARY RENAME STATIC WITH',
);

/** After the name of a function that is dropped or described. */
export const AFTER_FUNCTION = tokenTypes('( ; .', 'WITH');

/** After the name of an index. */
export const AFTER_INDEX = tokenTypes('. ; ,', 'ON');

/** After a name that DESCRIBE takes for anything. */
export const AFTER_DESCRIBED = tokenTypes('; .', 'WITH');

/** After a column in a selection. */
export const AFTER_SELECTED = tokenTypes(
  '. [ ] } ) , : ; + - * / %',
  'ALLOW AS FROM LIMIT ORDER PER',
);

/** After a term. */
export const AFTER_TERM = new Set([
  ...tokenTypes(
    ') ] } , : ;',
    'ALLOW AND APPLY ASC DELETE DESC GROUP IF INSERT LIMIT ORDER PER PRIMARY UPDATE WHERE',
  ),
  // `[1] + column`: read by the rule of the assignment.
  "'+'",
  'RANGE',
]);
