// The functions of the addon, as index.ts calls them. Handles on stores, iterators, snapshots, SST writers and TLS connections are externals.
#pragma once
#include <node_api.h>

#include "handle.h"
#include "values.h"
#include "worker.h"

namespace ilion {

struct Function {
  const char* name;
  napi_callback callback;
};

extern const Function kStoreFunctions[];
extern const Function kReadFunctions[];
extern const Function kFileFunctions[];
extern const Function kTlsFunctions[];

// Wraps a shared object; the garbage collector lets go of it.
template <typename T>
napi_value toExternal(napi_env env, std::shared_ptr<T> object) {
  auto* held = new std::shared_ptr<T>(std::move(object));
  napi_value result = nullptr;
  napi_status status = napi_create_external(
      env, held, [](napi_env, void* data, void*) { delete static_cast<std::shared_ptr<T>*>(data); },
      nullptr, &result);
  if (status != napi_ok) delete held;
  return result;
}

// Null if the value is no external. Which kind it is, index.ts knows.
template <typename T>
std::shared_ptr<T>* externalOf(napi_env env, napi_value value) {
  napi_valuetype type = napi_undefined;
  void* data = nullptr;
  if (napi_typeof(env, value, &type) == napi_ok && type == napi_external) {
    napi_get_value_external(env, value, &data);
  }
  return static_cast<std::shared_ptr<T>*>(data);
}

// The open store behind an external; throws CLOSED and returns null otherwise.
StoreHandle* openHandle(napi_env env, napi_value external);

// The family of a store; throws BAD_ARGUMENT and returns null if there is none.
std::shared_ptr<Family> familyOf(napi_env env, StoreHandle& handle, napi_value id);

void throwError(napi_env env, Code code, const char* message);

// Runs `work` on the pool of long jobs; its promise gets what `result` makes.
napi_value longJob(napi_env env, StoreHandle& handle, std::function<Error()> work,
                   std::function<napi_value(napi_env)> result = nullptr);

// As LiveFile[] of the port.
napi_value toFiles(napi_env env, const std::vector<rocksdb::LiveFileMetaData>& files);

// From FamilyOptions of the port.
FamilyOptions familyOptionsOf(napi_env env, napi_value object);
FamilyPolicy policyOf(napi_env env, napi_value object);

}  // namespace ilion
