// SST files: what lives, writing, ingesting; files to and from sockets.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rocksdb/sst_file_writer.h>

#include <cstdlib>

#include "../core/file-checksum.h"
#include "../core/transfer.h"
#include "calls.h"

namespace ilion {
namespace {

std::string hexOf(const std::string& bytes) {
  static const char digits[] = "0123456789abcdef";
  std::string text;
  for (unsigned char byte : bytes) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

std::string bytesOfHex(const std::string& text) {
  std::string bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes += static_cast<char>(std::strtoul(text.substr(i, 2).c_str(), nullptr, 16));
  }
  return bytes;
}

}  // namespace

napi_value toFiles(napi_env env, const std::vector<rocksdb::LiveFileMetaData>& files) {
  napi_value list = nullptr;
  napi_create_array_with_length(env, files.size(), &list);
  for (size_t i = 0; i < files.size(); i++) {
    const auto& file = files[i];
    napi_value object = newObject(env);
    set(env, object, "family", toString(env, file.column_family_name));
    set(env, object, "name", toString(env, file.relative_filename.empty() ? file.name : file.relative_filename));
    set(env, object, "directory", toString(env, file.directory));
    set(env, object, "level", toInt(env, file.level));
    set(env, object, "bytes", toNumber(env, static_cast<double>(file.size)));
    set(env, object, "entries", toNumber(env, static_cast<double>(file.num_entries)));
    set(env, object, "deletions", toNumber(env, static_cast<double>(file.num_deletions)));
    set(env, object, "smallestKey", toBuffer(env, file.smallestkey));
    set(env, object, "largestKey", toBuffer(env, file.largestkey));
    set(env, object, "smallestSequence", toNumber(env, static_cast<double>(file.smallest_seqno)));
    set(env, object, "largestSequence", toNumber(env, static_cast<double>(file.largest_seqno)));
    const bool isOurs = file.file_checksum_func_name == kFileChecksumName;
    set(env, object, "checksum", toString(env, isOurs ? hexOf(file.file_checksum) : ""));
    napi_set_element(env, list, i, object);
  }
  return list;
}

namespace {

// liveFiles(store) -> LiveFile[]
napi_value liveFiles(napi_env env, napi_callback_info info) {
  Arguments<1> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  if (handle == nullptr) return nullptr;
  std::vector<rocksdb::LiveFileMetaData> files;
  handle->store().db().GetLiveFilesMetaData(&files);
  return toFiles(env, files);
}

constexpr uint32_t kMove = 1;
constexpr uint32_t kLink = 2;
constexpr uint32_t kDatabaseMade = 4;
constexpr uint32_t kVerify = 8;

// ingest(store, family, files[], checksums[], flags) -> Promise
napi_value ingest(napi_env env, napi_callback_info info) {
  Arguments<5> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  auto family = handle == nullptr ? nullptr : familyOf(env, *handle, a[1]);
  if (family == nullptr) return nullptr;
  uint32_t flags = u32Of(env, a[4]);
  rocksdb::IngestExternalFileArg arg;
  arg.column_family = family->handle;
  arg.external_files = stringsOf(env, a[2]);
  for (const std::string& checksum : stringsOf(env, a[3])) {
    arg.files_checksums.push_back(bytesOfHex(checksum));
    arg.files_checksum_func_names.push_back(kFileChecksumName);
  }
  auto& options = arg.options;
  options.move_files = flags & kMove;
  options.link_files = flags & kLink;
  options.allow_db_generated_files = flags & kDatabaseMade;
  options.verify_checksums_before_ingest = flags & kVerify;
  // Who names the checksums has compared them: it would read the whole file once more.
  options.verify_file_checksum = flags & kVerify;
  options.fill_cache = false;
  if (options.allow_db_generated_files) {
    // Their keys keep their sequence numbers: only where there is nothing yet, in memory neither.
    options.snapshot_consistency = false;
    options.allow_blocking_flush = false;
  }
  return longJob(env, *handle, [&overwrites = handle->store().overwrites(), family, arg] {
    AddingFiles adding(overwrites, *family);
    return errorOf(family->db->IngestExternalFiles({arg}));
  });
}

// Writes one SST file, outside any store.
struct SstFile {
  SstFile(std::shared_ptr<StoreHandle> owner, const rocksdb::Options& options)
      : handle(std::move(owner)), writer(rocksdb::EnvOptions(), options) {}
  const std::shared_ptr<StoreHandle> handle;
  std::string path;
  rocksdb::SstFileWriter writer;
  bool opened = false;
  bool busy = false;  // the loop's, as is:
  bool ended = false;

  Error put(const char* p, size_t length) {
    rocksdb::Status status;
    if (!opened) status = writer.Open(path);
    opened = true;
    const char* end = p + length;
    while (status.ok() && p < end) {
      if (end - p < 8) return Error{Code::badArgument, "entries cut short"};
      uint32_t keyLength = loadU32Le(p), valueLength = loadU32Le(p + 4);
      p += 8;
      if (static_cast<uint64_t>(end - p) < uint64_t{keyLength} + valueLength) {
        return Error{Code::badArgument, "entries cut short"};
      }
      // As what is merged: a value would hide whatever the range has already.
      status = writer.Merge(Slice(p, keyLength), Slice(p + keyLength, valueLength));
      p += keyLength + valueLength;
    }
    return errorOf(status);
  }
};

// sstWriter(store, family, file) -> writer
napi_value sstWriter(napi_env env, napi_callback_info info) {
  Arguments<3> a(env, info);
  StoreHandle* handle = openHandle(env, a[0]);
  auto family = handle == nullptr ? nullptr : familyOf(env, *handle, a[1]);
  if (family == nullptr) return nullptr;
  auto file = std::make_shared<SstFile>(handle->shared_from_this(),
                                        family->db->GetOptions(family->handle));
  file->path = stringOf(env, a[2]);
  return toExternal(env, std::move(file));
}

std::shared_ptr<SstFile> idleSst(napi_env env, napi_value external) {
  auto* file = externalOf<SstFile>(env, external);
  if (file == nullptr || (*file)->ended || (*file)->handle->closed()) {
    throwError(env, Code::closed, "the SST writer is closed");
    return nullptr;
  }
  if ((*file)->busy) {
    throwError(env, Code::badArgument, "the SST writer is in use");
    return nullptr;
  }
  return *file;
}

// sstPut(writer, packed, length) -> Promise
napi_value sstPut(napi_env env, napi_callback_info info) {
  Arguments<3> a(env, info);
  auto file = idleSst(env, a[0]);
  if (file == nullptr) return nullptr;
  View packed = viewOf(env, a[1]);
  size_t length = std::min<size_t>(packed.size, u32Of(env, a[2]));
  Worker& worker = *file->handle->worker();
  file->busy = true;
  JobOptions options{&worker.process().longJobs, file->handle, a[1], [file] { file->busy = false; }};
  return worker.start(env, options,
                      [file, packed, length](Job& job) {
                        job.error = file->put(packed.data, length);
                      });
}

// sstFinish(writer) -> Promise<bytes>
napi_value sstFinish(napi_env env, napi_callback_info info) {
  Arguments<1> a(env, info);
  auto file = idleSst(env, a[0]);
  if (file == nullptr) return nullptr;
  file->ended = true;
  auto bytes = std::make_shared<double>(0);
  return longJob(
      env, *file->handle,
      [file, bytes] {
        rocksdb::ExternalSstFileInfo made;
        rocksdb::Status status = file->writer.Finish(&made);
        *bytes = static_cast<double>(made.file_size);
        return errorOf(status);
      },
      [bytes](napi_env e) { return toNumber(e, *bytes); });
}

// sstAbort(writer): idempotent; the file goes
napi_value sstAbort(napi_env env, napi_callback_info info) {
  Arguments<1> a(env, info);
  auto* file = externalOf<SstFile>(env, a[0]);
  if (file == nullptr || (*file)->ended) return nullptr;
  (*file)->ended = true;
  unlink((*file)->path.c_str());
  return nullptr;
}

// A transfer's promise, of the bytes moved. The descriptor is a dup: a close in JavaScript must not let the bytes go to
// whatever gets its number next.
napi_value transfer(napi_env env, napi_value socket, std::function<int64_t(int, Error*)> move) {
  Worker* worker = Worker::of(env);
  if (worker == nullptr) return nullptr;
  int own = fcntl(static_cast<int>(u32Of(env, socket)), F_DUPFD_CLOEXEC, 0);
  struct stat about;
  if (own < 0 || fstat(own, &about) != 0 || !S_ISSOCK(about.st_mode)) {
    if (own >= 0) ::close(own);
    throwError(env, Code::badArgument, "this descriptor is no socket");
    return nullptr;
  }
  auto moved = std::make_shared<int64_t>(0);
  napi_value promise = worker->start(
      env, JobOptions{}, [own, move, moved](Job& job) { *moved = move(own, &job.error); },
      [moved](napi_env e) { return toNumber(e, static_cast<double>(*moved)); });
  if (promise == nullptr) ::close(own);
  return promise;
}

// sendFile(socket, path, offset, length, timeoutMs) -> Promise<bytes>
napi_value sendFile(napi_env env, napi_callback_info info) {
  Arguments<5> a(env, info);
  return transfer(env, a[0],
                  [path = stringOf(env, a[1]), offset = static_cast<int64_t>(numberOf(env, a[2])),
                   length = static_cast<int64_t>(numberOf(env, a[3])),
                   timeoutMs = static_cast<int>(u32Of(env, a[4]))](int socket, Error* error) {
                    return sendFileRange(socket, path, offset, length, timeoutMs, error);
                  });
}

// receiveFile(socket, path, offset, length, timeoutMs, sync) -> Promise<bytes>
napi_value receiveFile(napi_env env, napi_callback_info info) {
  Arguments<6> a(env, info);
  return transfer(env, a[0],
                  [path = stringOf(env, a[1]), offset = static_cast<int64_t>(numberOf(env, a[2])),
                   length = static_cast<int64_t>(numberOf(env, a[3])),
                   timeoutMs = static_cast<int>(u32Of(env, a[4])),
                   sync = boolOf(env, a[5])](int socket, Error* error) {
                    return receiveToFile(socket, path, offset, length, timeoutMs, sync, error);
                  });
}

// fileChecksum(path) -> Promise<string>
napi_value fileChecksum(napi_env env, napi_callback_info info) {
  Arguments<1> a(env, info);
  Worker* worker = Worker::of(env);
  if (worker == nullptr) return nullptr;
  auto checksum = std::make_shared<std::string>();
  JobOptions options{&worker->process().longJobs};
  return worker->start(
      env, options,
      [path = stringOf(env, a[0]), checksum](Job& job) { *checksum = checksumOfFile(path, &job.error); },
      [checksum](napi_env e) { return toString(e, hexOf(*checksum)); });
}

}  // namespace

const Function kFileFunctions[] = {
    {"liveFiles", liveFiles},
    {"ingest", ingest},
    {"sstWriter", sstWriter},
    {"sstPut", sstPut},
    {"sstFinish", sstFinish},
    {"sstAbort", sstAbort},
    {"sendFile", sendFile},
    {"receiveFile", receiveFile},
    {"fileChecksum", fileChecksum},
    {nullptr, nullptr},
};

}  // namespace ilion
