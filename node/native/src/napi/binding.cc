// The addon: its functions by name. Raw N-API, so one binary serves every Node of the last years.
#include <time.h>

#include <rocksdb/convenience.h>
#include <rocksdb/version.h>

#include "calls.h"

namespace ilion {
namespace {

// version() -> { headers, library }: of RocksDB, which must agree
napi_value version(napi_env env, napi_callback_info) {
  std::string headers = std::to_string(ROCKSDB_MAJOR) + "." + std::to_string(ROCKSDB_MINOR) + "." +
                        std::to_string(ROCKSDB_PATCH);
  napi_value object = newObject(env);
  set(env, object, "headers", toString(env, headers));
  set(env, object, "library", toString(env, rocksdb::GetRocksVersionAsString()));
  return object;
}

// cpuNanos(thread: boolean) -> CPU time of this thread or of the process
napi_value cpuNanos(napi_env env, napi_callback_info info) {
  Arguments<1> a(env, info);
  timespec t;
  clock_gettime(boolOf(env, a[0]) ? CLOCK_THREAD_CPUTIME_ID : CLOCK_PROCESS_CPUTIME_ID, &t);
  return toNumber(env, static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec));
}

const Function kOwnFunctions[] = {{"version", version}, {"cpuNanos", cpuNanos}, {nullptr, nullptr}};

void define(napi_env env, napi_value exports, const Function* functions) {
  for (; functions->name != nullptr; functions++) {
    napi_value function = nullptr;
    napi_create_function(env, functions->name, NAPI_AUTO_LENGTH, functions->callback, nullptr, &function);
    set(env, exports, functions->name, function);
  }
}

}  // namespace
}  // namespace ilion

NAPI_MODULE_INIT() {
  ilion::define(env, exports, ilion::kOwnFunctions);
  ilion::define(env, exports, ilion::kStoreFunctions);
  ilion::define(env, exports, ilion::kReadFunctions);
  ilion::define(env, exports, ilion::kFileFunctions);
  ilion::define(env, exports, ilion::kTlsFunctions);
  return exports;
}
