// Point reads, iterators, snapshots.
#include "../core/cursor.h"
#include "../core/merge.h"
#include "../core/reader.h"
#include "calls.h"

namespace ilion {
namespace {

// Checks the requests of a multiGet; throws and returns an empty slice if they are malformed.
Slice requestsOf(napi_env env, napi_value value, uint32_t count) {
  View view = viewOf(env, value);
  size_t length = requestsLength(Slice(view.data, view.size), count);
  if (count > 0 && length == 0) throwError(env, Code::badArgument, "malformed requests");
  return Slice(view.data, length);
}

// multiGet(store, requests, count, out) -> bytes used, or the negative of what is needed
napi_value multiGet(napi_env env, napi_callback_info info) {
  Arguments<4> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  if (handle == nullptr) return nullptr;
  uint32_t count = u32Of(env, a[2]);
  Slice requests = requestsOf(env, a[1], count);
  if (requests.empty()) return count == 0 ? toInt(env, 0) : nullptr;
  View out = viewOf(env, a[3]);
  Error error;
  auto families = handle->store().families();
  int64_t used = readFromMemory(handle->store(), *families, requests.data(), count, out.data,
                                out.size, &error);
  if (error.failed()) {
    handle->worker()->throwFailure(env, error);
    return nullptr;
  }
  return toNumber(env, static_cast<double>(used));
}

// multiGetAsync(store, requests, count) -> Promise<Uint8Array>
napi_value multiGetAsync(napi_env env, napi_callback_info info) {
  Arguments<3> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  if (handle == nullptr) return nullptr;
  uint32_t count = u32Of(env, a[2]);
  Slice requests = requestsOf(env, a[1], count);
  if (requests.empty() && count > 0) return nullptr;
  auto answer = std::make_shared<std::string>();
  Worker& worker = *handle->worker();
  return worker.start(
      env, JobOptions{&worker.process().readers, handle->shared_from_this()},
      [&store = handle->store(), families = handle->store().families(),
       copy = requests.ToString(), count, answer](Job& job) {
        readAll(store, *families, copy.data(), count, answer.get(), &job.error);
      },
      [answer](napi_env e) { return toBuffer(e, *answer); });
}

constexpr uint32_t kReverse = 1;
constexpr uint32_t kCacheOnly = 2;
constexpr uint32_t kNoFill = 4;

// iterator(store, family, lower, upper, flags, snapshot | undefined) -> iterator
napi_value iterator(napi_env env, napi_callback_info info) {
  Arguments<6> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  auto family = handle == nullptr ? nullptr : familyOf(env, *handle, a[1]);
  if (family == nullptr) return nullptr;
  uint32_t flags = u32Of(env, a[4]);
  CursorOptions options;
  options.lower = bytesOf(env, a[2]);
  options.upper = bytesOf(env, a[3]);
  options.reverse = flags & kReverse;
  options.cacheOnly = flags & kCacheOnly;
  options.noFill = flags & kNoFill;
  std::shared_ptr<SnapshotHandle> snapshot;
  if (auto* held = externalOf<SnapshotHandle>(env, a[5])) {
    snapshot = *held;
    if (snapshot == nullptr || snapshot->get() == nullptr || &snapshot->handle() != handle) {
      throwError(env, Code::closed, "the snapshot is released, or of another store");
      return nullptr;
    }
    options.snapshot = snapshot->get();
  }
  return toExternal(env, std::make_shared<CursorHandle>(handle->shared_from_this(), std::move(family),
                                                        std::move(options), std::move(snapshot)));
}

// The cursor behind an external, if it may be used now; throws and returns null otherwise.
std::shared_ptr<CursorHandle> idleCursor(napi_env env, napi_value external) {
  auto* cursor = externalOf<CursorHandle>(env, external);
  if (cursor == nullptr || (*cursor)->closed || (*cursor)->handle().closed()) {
    throwError(env, Code::closed, "the iterator is closed");
    return nullptr;
  }
  if ((*cursor)->busy) {
    throwError(env, Code::badArgument, "the iterator is in use");
    return nullptr;
  }
  return *cursor;
}

// iteratorNext(iterator, out, maxEntries) -> count, or a negative code
napi_value iteratorNext(napi_env env, napi_callback_info info) {
  Arguments<3> a(env, info);
  auto cursor = idleCursor(env, a[0]);
  if (cursor == nullptr) return nullptr;
  View out = viewOf(env, a[1]);
  Error error;
  int count = cursor->cursor().fill(out.data, out.size, u32Of(env, a[2]), cursor->cacheOnly, &error);
  if (error.failed()) {
    cursor->handle().worker()->throwFailure(env, error);
    return nullptr;
  }
  return toInt(env, count);
}

// iteratorNextAsync(iterator, out, maxEntries) -> Promise<count or kTooSmall>
napi_value iteratorNextAsync(napi_env env, napi_callback_info info) {
  Arguments<3> a(env, info);
  auto cursor = idleCursor(env, a[0]);
  if (cursor == nullptr) return nullptr;
  View out = viewOf(env, a[1]);
  uint32_t maxEntries = u32Of(env, a[2]);
  Worker& worker = *cursor->handle().worker();
  JobOptions options{&worker.process().readers, cursor->sharedHandle(), a[1],
                     [cursor] { cursor->settle(); }};
  auto count = std::make_shared<int>(0);
  cursor->busy = true;
  return worker.start(
      env, options,
      [cursor, out, maxEntries, count](Job& job) {
        *count = cursor->cursor().fill(out.data, out.size, maxEntries, false, &job.error);
      },
      [count](napi_env e) { return toInt(e, *count); });
}

// iteratorSeek(iterator, key)
napi_value iteratorSeek(napi_env env, napi_callback_info info) {
  Arguments<2> a(env, info);
  auto cursor = idleCursor(env, a[0]);
  View key = viewOf(env, a[1]);
  if (cursor != nullptr) cursor->cursor().seek(Slice(key.data, key.size));
  return nullptr;
}

// iteratorClose(iterator): idempotent
napi_value iteratorClose(napi_env env, napi_callback_info info) {
  Arguments<1> a(env, info);
  auto* cursor = externalOf<CursorHandle>(env, a[0]);
  if (cursor != nullptr && !(*cursor)->closed) (*cursor)->close();
  return nullptr;
}

// snapshot(store) -> snapshot
napi_value snapshot(napi_env env, napi_callback_info info) {
  Arguments<1> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  if (handle == nullptr) return nullptr;
  return toExternal(env, std::make_shared<SnapshotHandle>(handle->shared_from_this(),
                                                          handle->store().takeSnapshot()));
}

// snapshotRelease(snapshot): idempotent; iterators on it keep it until they are closed
napi_value snapshotRelease(napi_env env, napi_callback_info info) {
  Arguments<1> a(env, info);
  if (auto* held = externalOf<SnapshotHandle>(env, a[0])) held->reset();
  return nullptr;
}

// mergeRecords(records[]) -> Uint8Array; for holding the merge to its reference
napi_value mergeRecords(napi_env env, napi_callback_info info) {
  Arguments<1> a(env, info);
  uint32_t count = 0;
  napi_get_array_length(env, a[0], &count);
  Merger merger;
  for (uint32_t i = 0; i < count; i++) {
    napi_value element = nullptr;
    napi_get_element(env, a[0], i, &element);
    View record = viewOf(env, element);
    if (!merger.add(Slice(record.data, record.size))) {
      napi_throw_range_error(env, nullptr, "malformed record");
      return nullptr;
    }
  }
  std::string merged;
  merger.finish(&merged);
  return toBuffer(env, merged);
}

}  // namespace

const Function kReadFunctions[] = {
    {"multiGet", multiGet},
    {"multiGetAsync", multiGetAsync},
    {"iterator", iterator},
    {"iteratorNext", iteratorNext},
    {"iteratorNextAsync", iteratorNextAsync},
    {"iteratorSeek", iteratorSeek},
    {"iteratorClose", iteratorClose},
    {"snapshot", snapshot},
    {"snapshotRelease", snapshotRelease},
    {"mergeRecords", mergeRecords},
    {nullptr, nullptr},
};

}  // namespace ilion
