/**
 * grpc-js and the loader of its definitions, loaded by the first link of a thread: a node without peers does without their
 * memory, some 4 MiB for each worker. What it takes to load it then stops that thread once.
 */
import { createRequire } from 'node:module';

type GrpcLibrary = typeof import('@grpc/grpc-js');
type ProtoLoader = typeof import('@grpc/proto-loader');

const load = createRequire(import.meta.url);

/** As `import` of '@grpc/grpc-js'. */
export const grpcLibrary = (): GrpcLibrary => load('@grpc/grpc-js') as GrpcLibrary;

/** As `import` of '@grpc/proto-loader'. */
export const protoLoader = (): ProtoLoader => load('@grpc/proto-loader') as ProtoLoader;
