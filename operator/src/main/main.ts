/** The `ilion-operator` command. */
import { createLogger } from '../../../node/src/adapters/logger.ts';
import { KubeAccessError } from '../adapters/kube-access.ts';
import { startOperator } from './operator.ts';
import { helpText, OptionError, readOptions } from './options.ts';

async function run(args: readonly string[]): Promise<number> {
  if (args.includes('--help')) {
    process.stdout.write(helpText());
    return 0;
  }
  const options = readOptions(args, process.env, process.stdout.isTTY === true);
  const { logLevel: level, logFormat: format } = options;
  const logger = createLogger({ level, format, source: 'operator' });
  const operator = await startOperator(options, logger);
  const { promise: asked, resolve } = Promise.withResolvers<'asked'>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve('asked'));
  const why = await Promise.race([asked, operator.lost.then(() => 'lost' as const)]);
  // Who leads no more must not finish what it has begun.
  if (why === 'lost') process.exit(1);
  logger.info('the operator stops');
  await operator.stop();
  logger.info('the operator has stopped');
  return 0;
}

try {
  process.exit(await run(process.argv.slice(2)));
} catch (error) {
  const isExpected = error instanceof OptionError || error instanceof KubeAccessError;
  const isListening = (error as { readonly syscall?: unknown }).syscall === 'listen';
  process.stderr.write(
    `ilion-operator: ${isExpected || isListening ? (error as Error).message : (error as Error).stack}\n`,
  );
  process.exit(2);
}
