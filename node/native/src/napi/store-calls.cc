// Opening, families, writing, maintenance.
#include <rocksdb/advanced_cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/utilities/checkpoint.h>

#include "calls.h"

namespace ilion {

StoreHandle* openHandle(napi_env env, napi_value external) {
  auto* handle = externalOf<StoreHandle>(env, external);
  if (handle != nullptr && !(*handle)->closed()) return handle->get();
  throwError(env, Code::closed, "the store is closed");
  return nullptr;
}

std::shared_ptr<Family> familyOf(napi_env env, StoreHandle& handle, napi_value id) {
  std::shared_ptr<Family> family = handle.store().family(u32Of(env, id));
  if (family == nullptr) throwError(env, Code::badArgument, "no such column family");
  return family;
}

void throwError(napi_env env, Code code, const char* message) {
  if (Worker* worker = Worker::of(env)) worker->throwFailure(env, Error{code, message});
}

napi_value longJob(napi_env env, StoreHandle& handle, std::function<Error()> work,
                   std::function<napi_value(napi_env)> result) {
  Worker& worker = *handle.worker();
  JobOptions options{&worker.process().longJobs, handle.shared_from_this()};
  return worker.start(
      env, options, [work = std::move(work)](Job& job) { job.error = work(); }, std::move(result));
}

FamilyPolicy policyOf(napi_env env, napi_value object) {
  FamilyPolicy policy{boolOf(env, property(env, object, "clustering")),
                      u32Of(env, property(env, object, "fixedPartitionKeyBytes")),
                      u32Of(env, property(env, object, "gcGraceSeconds")), nullptr, 0};
  napi_value columns = property(env, object, "rowColumns");
  bool isArray = false;
  napi_is_array(env, columns, &isArray);
  if (!isArray) return policy;
  policy.rowColumns = std::make_shared<const std::vector<uint32_t>>(u32sOf(env, columns));
  policy.columnsKnown = u32Of(env, property(env, object, "columnsKnown"));
  return policy;
}

FamilyOptions familyOptionsOf(napi_env env, napi_value object) {
  FamilyOptions options;
  options.described = true;
  options.policy = policyOf(env, property(env, object, "policy"));
  options.gridBits = u32Of(env, property(env, object, "gridBits"));
  options.options = stringOf(env, property(env, object, "options"));
  return options;
}

namespace {

StoreOptions storeOptionsOf(napi_env env, napi_value object) {
  StoreOptions options;
  options.groupDurability = stringOf(env, property(env, object, "durability")) == "group";
  options.syncPeriodMs = u32Of(env, property(env, object, "syncPeriodMs"));
  options.queueBytesMax = static_cast<size_t>(numberOf(env, property(env, object, "queueBytesMax")));
  options.options = stringOf(env, property(env, object, "options"));
  forEachProperty(env, property(env, object, "families"), [&](const std::string& name, napi_value v) {
    options.families[name] = familyOptionsOf(env, v);
  });
  return options;
}

// attach(options, KvError, numbers, codes, onTickets, onEvent)
napi_value attach(napi_env env, napi_callback_info info) {
  Arguments<6> a(env, info);
  ProcessOptions options;
  options.cacheBytes = static_cast<size_t>(numberOf(env, property(env, a[0], "cacheBytes")));
  options.memtableBytes = static_cast<size_t>(numberOf(env, property(env, a[0], "memtableBytes")));
  options.backgroundBytesPerSecond =
      static_cast<int64_t>(numberOf(env, property(env, a[0], "backgroundBytesPerSecond")));
  options.backgroundThreads = static_cast<int>(u32Of(env, property(env, a[0], "backgroundThreads")));
  options.readThreads = static_cast<int>(u32Of(env, property(env, a[0], "readThreads")));
  Worker::attach(env, options, &a.values[1]);
  return nullptr;
}

// open(path, options) -> Promise<store>
napi_value open(napi_env env, napi_callback_info info) {
  Arguments<2> a(env, info);
  Worker* worker = Worker::of(env);
  if (worker == nullptr) return nullptr;
  std::string path = stringOf(env, a[0]);
  StoreOptions options = storeOptionsOf(env, a[1]);
  auto opened = std::make_shared<std::shared_ptr<StoreHandle>>();
  return worker->start(
      env, JobOptions{&worker->process().longJobs, nullptr},
      [worker = worker->shared_from_this(), path, options, opened](Job& job) {
        std::shared_ptr<Store> store;
        job.error = worker->process().open(path, options, &store);
        if (job.error.failed()) return;
        *opened = std::make_shared<StoreHandle>(*worker, std::move(store));
        worker->adopt(*opened);
      },
      [opened](napi_env e) { return toExternal(e, *opened); });
}

// close(store) -> Promise
napi_value close(napi_env env, napi_callback_info info) {
  Arguments<1> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  if (handle == nullptr) return nullptr;
  std::unique_ptr<Job> done;
  napi_value promise = handle->worker()->promise(env, &done);
  handle->close(std::move(done));
  return promise;
}

// storeId(store) -> the number that onEvent gets
napi_value storeId(napi_env env, napi_callback_info info) {
  Arguments<1> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  return handle == nullptr ? nullptr : toNumber(env, handle->id);
}

// listen(store): events go to onEvent from now on
napi_value listen(napi_env env, napi_callback_info info) {
  Arguments<1> a(env, info);
  if (StoreHandle* handle = openHandle(env, a[0])) handle->listen();
  return nullptr;
}

// families(store) -> { name: id }
napi_value families(napi_env env, napi_callback_info info) {
  Arguments<1> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  if (handle == nullptr) return nullptr;
  napi_value object = newObject(env);
  auto table = handle->store().families();
  for (size_t id = 0; id < table->byId.size(); id++) {
    if (table->byId[id] == nullptr) continue;
    set(env, object, table->byId[id]->name.c_str(), toNumber(env, static_cast<double>(id)));
  }
  return object;
}

// createFamilies(store, { name: options }) -> Promise<{ name: id }>
napi_value createFamilies(napi_env env, napi_callback_info info) {
  Arguments<2> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  if (handle == nullptr) return nullptr;
  auto wanted = std::make_shared<std::vector<std::pair<std::string, FamilyOptions>>>();
  forEachProperty(env, a[1], [&](const std::string& name, napi_value options) {
    wanted->emplace_back(name, familyOptionsOf(env, options));
  });
  auto ids = std::make_shared<std::vector<uint32_t>>();
  return longJob(
      env, *handle,
      [&store = handle->store(), wanted, ids] { return store.createFamilies(*wanted, ids.get()); },
      [wanted, ids](napi_env e) {
        napi_value object = newObject(e);
        for (size_t i = 0; i < ids->size(); i++) {
          set(e, object, (*wanted)[i].first.c_str(), toNumber(e, (*ids)[i]));
        }
        return object;
      });
}

// dropFamily(store, name) -> Promise
napi_value dropFamily(napi_env env, napi_callback_info info) {
  Arguments<2> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  if (handle == nullptr) return nullptr;
  return longJob(env, *handle, [&store = handle->store(), name = stringOf(env, a[1])] {
    return store.dropFamily(name);
  });
}

// setPolicy(store, family, policy)
napi_value setPolicy(napi_env env, napi_callback_info info) {
  Arguments<3> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  if (handle == nullptr) return nullptr;
  FamilyPolicy policy = policyOf(env, a[2]);
  if (policy.fixedPartitionKeyBytes > 255) {
    throwError(env, Code::badArgument, "fixedPartitionKeyBytes is above 255");
    return nullptr;
  }
  if (auto family = familyOf(env, *handle, a[1])) family->state->setPolicy(policy);
  return nullptr;
}

// setGridBits(store, family, bits)
napi_value setGridBits(napi_env env, napi_callback_info info) {
  Arguments<3> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  if (handle == nullptr) return nullptr;
  uint32_t bits = u32Of(env, a[2]);
  if (bits > 64) {
    throwError(env, Code::badArgument, "gridBits is above 64");
    return nullptr;
  }
  if (auto family = familyOf(env, *handle, a[1])) family->state->setGridBits(bits);
  return nullptr;
}

// submit(store, batch, length, ticket) -> boolean
napi_value submit(napi_env env, napi_callback_info info) {
  Arguments<4> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  if (handle == nullptr) return nullptr;
  View batch = viewOf(env, a[1]);
  size_t length = u32Of(env, a[2]);
  Slice bytes(batch.data, std::min(length, batch.size));
  const char* problem =
      length > batch.size ? "longer than its buffer" : checkBatch(bytes, *handle->store().families());
  if (problem != nullptr) {
    throwError(env, Code::badBatch, problem);
    return nullptr;
  }
  handle->acquire();
  handle->worker()->ticketTaken(env);
  if (handle->store().writer().submit(bytes, handle, numberOf(env, a[3]))) return toBool(env, true);
  handle->worker()->ticketRefused(env);
  handle->release(1);
  return toBool(env, false);
}

// queuedBytes(store) -> number
napi_value queuedBytes(napi_env env, napi_callback_info info) {
  Arguments<1> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  if (handle == nullptr) return nullptr;
  return toNumber(env, static_cast<double>(handle->store().writer().queuedBytes()));
}

// syncWal(store) -> Promise
napi_value syncWal(napi_env env, napi_callback_info info) {
  Arguments<1> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  if (handle == nullptr) return nullptr;
  return longJob(env, *handle, [&store = handle->store()] { return store.writer().sync(); });
}

// flush(store, family | undefined) -> Promise
napi_value flush(napi_env env, napi_callback_info info) {
  Arguments<2> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  if (handle == nullptr) return nullptr;
  napi_valuetype type = napi_undefined;
  napi_typeof(env, a[1], &type);
  std::vector<std::shared_ptr<Family>> flushed;
  if (type == napi_undefined) {
    for (const auto& family : handle->store().families()->byId) {
      if (family != nullptr) flushed.push_back(family);
    }
  } else if (auto family = familyOf(env, *handle, a[1])) {
    flushed.push_back(std::move(family));
  } else {
    return nullptr;
  }
  return longJob(env, *handle, [&store = handle->store(), flushed] {
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    for (const auto& family : flushed) handles.push_back(family->handle);
    return errorOf(store.db().Flush(rocksdb::FlushOptions(), handles));
  });
}

const Slice* sliceOf(const std::optional<std::string>& bytes, Slice* slice) {
  if (!bytes) return nullptr;
  *slice = *bytes;
  return slice;
}

// compact(store, family, lower, upper) -> Promise
napi_value compact(napi_env env, napi_callback_info info) {
  Arguments<4> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  auto family = handle == nullptr ? nullptr : familyOf(env, *handle, a[1]);
  if (family == nullptr) return nullptr;
  return longJob(env, *handle, [family, lower = bytesOf(env, a[2]), upper = bytesOf(env, a[3])] {
    Slice low, high;
    rocksdb::CompactRangeOptions options;
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
    options.exclusive_manual_compaction = false;
    return errorOf(family->db->CompactRange(options, family->handle, sliceOf(lower, &low),
                                            sliceOf(upper, &high)));
  });
}

// deleteFilesInRange(store, family, lower, upper) -> Promise
napi_value deleteFilesInRange(napi_env env, napi_callback_info info) {
  Arguments<4> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  auto family = handle == nullptr ? nullptr : familyOf(env, *handle, a[1]);
  if (family == nullptr) return nullptr;
  return longJob(env, *handle, [family, lower = bytesOf(env, a[2]), upper = bytesOf(env, a[3])] {
    Slice low, high;
    const bool includeUpper = false;
    return errorOf(rocksdb::DeleteFilesInRange(family->db.get(), family->handle,
                                               sliceOf(lower, &low), sliceOf(upper, &high),
                                               includeUpper));
  });
}

// clearRange(store, family, lower, upper) -> Promise
napi_value clearRange(napi_env env, napi_callback_info info) {
  Arguments<4> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  auto family = handle == nullptr ? nullptr : familyOf(env, *handle, a[1]);
  if (family == nullptr) return nullptr;
  return longJob(env, *handle, [family, lower = bytesOf(env, a[2]).value_or(""),
                                upper = bytesOf(env, a[3]).value_or("")] {
    Slice low(lower), high(upper);
    const bool includeUpper = false;
    rocksdb::Status status =
        rocksdb::DeleteFilesInRange(family->db.get(), family->handle, &low, &high, includeUpper);
    if (status.ok()) {
      status = family->db->DeleteRange(rocksdb::WriteOptions(), family->handle, low, high);
    }
    rocksdb::FlushOptions flush;
    flush.allow_write_stall = true;
    if (status.ok()) status = family->db->Flush(flush, family->handle);
    rocksdb::CompactRangeOptions compact;
    compact.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
    compact.exclusive_manual_compaction = false;
    if (status.ok()) status = family->db->CompactRange(compact, family->handle, &low, &high);
    return errorOf(status);
  });
}

// checkpoint(store, directory) -> Promise
napi_value checkpoint(napi_env env, napi_callback_info info) {
  Arguments<2> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  if (handle == nullptr) return nullptr;
  return longJob(env, *handle, [&store = handle->store(), directory = stringOf(env, a[1])] {
    rocksdb::Checkpoint* raw = nullptr;
    rocksdb::Status status = rocksdb::Checkpoint::Create(&store.db(), &raw);
    std::unique_ptr<rocksdb::Checkpoint> made(raw);
    if (status.ok()) status = made->CreateCheckpoint(directory);
    return errorOf(status);
  });
}

// exportFamily(store, family, directory) -> Promise<{ metadata: Uint8Array, files: LiveFile[] }>
napi_value exportFamily(napi_env env, napi_callback_info info) {
  Arguments<3> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  if (handle == nullptr) return nullptr;
  struct Exported {
    std::string metadata;
    std::vector<rocksdb::LiveFileMetaData> files;
  };
  auto made = std::make_shared<Exported>();
  return longJob(
      env, *handle,
      [&store = handle->store(), family = u32Of(env, a[1]), directory = stringOf(env, a[2]), made] {
        return store.exportFamily(family, directory, &made->metadata, &made->files);
      },
      [made](napi_env e) {
        napi_value result = newObject(e);
        set(e, result, "metadata", toBuffer(e, made->metadata));
        set(e, result, "files", toFiles(e, made->files));
        return result;
      });
}

// importFamily(store, name, options, directory, metadata, names[], move) -> Promise<id>
napi_value importFamily(napi_env env, napi_callback_info info) {
  Arguments<7> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  if (handle == nullptr) return nullptr;
  auto id = std::make_shared<uint32_t>(0);
  return longJob(
      env, *handle,
      [&store = handle->store(), name = stringOf(env, a[1]), options = familyOptionsOf(env, a[2]),
       directory = stringOf(env, a[3]), metadata = bytesOf(env, a[4]).value_or(""),
       names = stringsOf(env, a[5]), move = boolOf(env, a[6]), id] {
        return store.importFamily(name, options, directory, metadata, names, move, id.get());
      },
      [id](napi_env e) { return toNumber(e, *id); });
}

// verifyChecksums(store) -> Promise
napi_value verifyChecksums(napi_env env, napi_callback_info info) {
  Arguments<1> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  if (handle == nullptr) return nullptr;
  return longJob(env, *handle,
                 [&store = handle->store()] { return errorOf(store.db().VerifyChecksum()); });
}

// property(store, family, name) -> string | undefined
napi_value storeProperty(napi_env env, napi_callback_info info) {
  Arguments<3> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  auto family = handle == nullptr ? nullptr : familyOf(env, *handle, a[1]);
  std::string value;
  if (family == nullptr || !family->db->GetProperty(family->handle, stringOf(env, a[2]), &value)) {
    return nullptr;
  }
  return toString(env, value);
}

// statistics(store) -> { name: number }
napi_value statistics(napi_env env, napi_callback_info info) {
  Arguments<1> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  if (handle == nullptr) return nullptr;
  napi_value object = newObject(env);
  for (const auto& [name, value] : handle->store().statistics()) {
    set(env, object, name.c_str(), toNumber(env, value));
  }
  return object;
}

// memoryUsage() -> { cacheBytes, memtableBytes, tableReaderBytes }
napi_value memoryUsage(napi_env env, napi_callback_info) {
  Worker* worker = Worker::of(env);
  if (worker == nullptr) return nullptr;
  Process& process = worker->process();
  napi_value object = newObject(env);
  set(env, object, "cacheBytes", toNumber(env, static_cast<double>(process.cache->GetUsage())));
  set(env, object, "memtableBytes",
      toNumber(env, static_cast<double>(process.memtables->memory_usage())));
  set(env, object, "tableReaderBytes",
      toNumber(env, static_cast<double>(process.tableReaderBytes())));
  return object;
}

}  // namespace

const Function kStoreFunctions[] = {
    {"attach", attach},
    {"open", open},
    {"close", close},
    {"storeId", storeId},
    {"listen", listen},
    {"families", families},
    {"createFamilies", createFamilies},
    {"dropFamily", dropFamily},
    {"setPolicy", setPolicy},
    {"setGridBits", setGridBits},
    {"submit", submit},
    {"queuedBytes", queuedBytes},
    {"syncWal", syncWal},
    {"flush", flush},
    {"compact", compact},
    {"deleteFilesInRange", deleteFilesInRange},
    {"clearRange", clearRange},
    {"checkpoint", checkpoint},
    {"exportFamily", exportFamily},
    {"importFamily", importFamily},
    {"verifyChecksums", verifyChecksums},
    {"property", storeProperty},
    {"statistics", statistics},
    {"memoryUsage", memoryUsage},
    {nullptr, nullptr},
};

}  // namespace ilion
