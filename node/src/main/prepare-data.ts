/** What a data directory has to be before its shards are opened: of this cluster and node, laid out for the shards that are wanted. */
import { createNativeEngine } from '../../native/index.ts';
import type { Logger } from '../adapters/logger.ts';
import type { Settings } from '../config/settings.ts';
import { isVirtual, withSystemKeyspaces } from '../query/virtual/definitions.ts';
import { EMPTY_SCHEMA } from '../schema/schema.ts';
import { schemaFromJson, schemaToJson } from '../schema/schema-json.ts';
import { storedTables } from '../storage/families.ts';
import { DataDirectoryError, type Metadata, MetadataFile, newMetadata } from './metadata-file.ts';
import { processOptions, removeLayout, reshard } from './shards.ts';

/** Makes what is new, and lays out anew what has another number of shards. @throws DataDirectoryError, KvError */
export async function prepareData(
  settings: Settings,
  logger: Logger,
): Promise<{ readonly file: MetadataFile; readonly metadata: Metadata }> {
  const file = new MetadataFile(settings.dataDirectory);
  const engine = createNativeEngine(processOptions(settings));
  let metadata = await file.load();
  if (metadata === null) {
    const { clusterName, hostId, shards } = settings;
    metadata = newMetadata(clusterName, hostId, shards, schemaToJson(EMPTY_SCHEMA));
    await file.save(metadata);
  }
  if (metadata.clusterName !== settings.clusterName) {
    throw new DataDirectoryError(
      'CLUSTER_NAME',
      `the data in ${settings.dataDirectory} is of cluster '${metadata.clusterName}', not '${settings.clusterName}': set cluster_name to that, or choose another data directory`,
    );
  }
  if (settings.hostId !== null && metadata.hostId !== settings.hostId) {
    throw new DataDirectoryError(
      'HOST_ID',
      `the data in ${settings.dataDirectory} is of the node ${metadata.hostId}, not ${settings.hostId}: take host_id away, or choose the data directory that it belongs to`,
    );
  }
  if (metadata.shards !== settings.shards) {
    const tables = storedTables(withSystemKeyspaces(schemaFromJson(metadata.schema)), isVirtual);
    logger.info('laying the data out anew', {
      from: metadata.shards,
      to: settings.shards,
      tables: tables.length,
    });
    const old = metadata.layout;
    const layout = await reshard(engine, settings, metadata, tables, (table, index) =>
      logger.info('copying table', {
        table: `${table.keyspace}.${table.name}`,
        of: `${index + 1}/${tables.length}`,
      }),
    );
    metadata = { ...metadata, ...layout };
    await file.save(metadata);
    await removeLayout(settings.dataDirectory, old);
  }
  return { file, metadata };
}
