#include "memory-only.h"

#include <rocksdb/file_system.h>

namespace ilion {
namespace {

thread_local bool readsForbidden = false;

rocksdb::IOStatus refusal() { return rocksdb::IOStatus::Busy("memory only"); }

class GuardedFile : public rocksdb::FSRandomAccessFileOwnerWrapper {
 public:
  using FSRandomAccessFileOwnerWrapper::FSRandomAccessFileOwnerWrapper;

  rocksdb::IOStatus Read(uint64_t offset, size_t n, const rocksdb::IOOptions& options,
                         rocksdb::Slice* result, char* scratch,
                         rocksdb::IODebugContext* dbg) const override {
    if (readsForbidden) return refusal();
    return FSRandomAccessFileOwnerWrapper::Read(offset, n, options, result, scratch, dbg);
  }

  rocksdb::IOStatus MultiRead(rocksdb::FSReadRequest* requests, size_t count,
                              const rocksdb::IOOptions& options,
                              rocksdb::IODebugContext* dbg) override {
    if (!readsForbidden) {
      return FSRandomAccessFileOwnerWrapper::MultiRead(requests, count, options, dbg);
    }
    for (size_t i = 0; i < count; i++) requests[i].status = refusal();
    return refusal();
  }

  rocksdb::IOStatus Prefetch(uint64_t offset, size_t n, const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* dbg) override {
    if (readsForbidden) return refusal();
    return FSRandomAccessFileOwnerWrapper::Prefetch(offset, n, options, dbg);
  }
};

class GuardedFileSystem : public rocksdb::FileSystemWrapper {
 public:
  using FileSystemWrapper::FileSystemWrapper;

  const char* Name() const override { return "ilion.GuardedFileSystem"; }

  rocksdb::IOStatus NewRandomAccessFile(const std::string& name,
                                        const rocksdb::FileOptions& options,
                                        std::unique_ptr<rocksdb::FSRandomAccessFile>* out,
                                        rocksdb::IODebugContext* dbg) override {
    if (readsForbidden) return refusal();
    std::unique_ptr<rocksdb::FSRandomAccessFile> file;
    rocksdb::IOStatus status = FileSystemWrapper::NewRandomAccessFile(name, options, &file, dbg);
    if (status.ok()) out->reset(new GuardedFile(std::move(file)));
    return status;
  }
};

}  // namespace

MemoryOnly::MemoryOnly() : outer_(readsForbidden) { readsForbidden = true; }
MemoryOnly::~MemoryOnly() { readsForbidden = outer_; }

rocksdb::Env* guardedEnv() {
  static rocksdb::Env* const env =
      rocksdb::NewCompositeEnv(
          std::make_shared<GuardedFileSystem>(rocksdb::FileSystem::Default()))
          .release();
  return env;
}

}  // namespace ilion
