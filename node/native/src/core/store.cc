#include "store.h"

#include <algorithm>

#include <map>
#include <set>

#include <rocksdb/env.h>
#include <rocksdb/metadata.h>
#include <rocksdb/utilities/checkpoint.h>

#include "export-metadata.h"
#include "listener.h"
#include "options.h"
#include "process.h"

namespace ilion {
namespace {

// RocksDB's error about a damaged log does not say which one it is, but its own LOG does, in lines such as
// "... /path/000012.log: dropping 99 bytes; Corruption: checksum mismatch".
std::string damagedLog(rocksdb::Env& env, const std::string& path) {
  std::string text;
  if (!rocksdb::ReadFileToString(&env, path + "/LOG", &text).ok()) return "";
  size_t end = text.rfind(".log: dropping ");
  if (end == std::string::npos) return "";
  size_t begin = text.find_last_of(" /", end) + 1;
  return text.substr(begin, end - begin) + ".log";
}

Error openError(rocksdb::Env& env, const std::string& path, const rocksdb::Status& status) {
  std::string message = status.ToString();
  if (status.IsIOError() && message.find("LOCK") != std::string::npos) {
    return Error{Code::locked, path + " is locked: another process uses it"};
  }
  if (status.IsCorruption()) {
    std::string log = damagedLog(env, path);
    if (!log.empty()) message += ", in " + path + "/" + log;
  }
  return Error{codeOf(status), "cannot open " + path + ": " + message};
}

}  // namespace

Family::~Family() {
  if (handle != nullptr) db->DestroyColumnFamilyHandle(handle);
}

Store::Store(Process& process, std::string path, const StoreOptions&)
    : process_(process), path_(std::move(path)) {}

Store::~Store() { close(); }

Error Store::open(Process& process, const std::string& path, const StoreOptions& options,
                  std::shared_ptr<Store>* out) {
  std::shared_ptr<Store> store(new Store(process, path, options));
  Error error = store->openDatabase(options);
  if (error.failed()) return error;
  store->writer_ = std::make_unique<Writer>(
      *store, WriterOptions{options.groupDurability, options.syncPeriodMs, options.queueBytesMax});
  *out = std::move(store);
  return Error();
}

Error Store::openDatabase(const StoreOptions& options) {
  rocksdb::DBOptions dbOptions;
  Error error = databaseOptions(process_, options.options, &dbOptions);
  if (error.failed()) return error;
  statistics_ = rocksdb::CreateDBStatistics();
  statistics_->set_stats_level(rocksdb::StatsLevel::kExceptTimers);
  dbOptions.statistics = statistics_;
  listener_ = std::make_shared<StoreListener>(*this, snapshotsTaken_);
  dbOptions.listeners.push_back(listener_);

  std::map<std::string, FamilyOptions> wanted = options.families;
  wanted[rocksdb::kDefaultColumnFamilyName];
  if (dbOptions.env->FileExists(path_ + "/CURRENT").ok()) {
    std::vector<std::string> found;
    rocksdb::Status status = rocksdb::DB::ListColumnFamilies(dbOptions, path_, &found);
    if (!status.ok()) return openError(*dbOptions.env, path_, status);
    for (const std::string& name : found) wanted[name];
  }
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  std::vector<std::shared_ptr<FamilyState>> states;
  for (const auto& [name, family] : wanted) {
    states.push_back(std::make_shared<FamilyState>());
    rocksdb::ColumnFamilyOptions familyOut;
    error = familyOptions(process_, family, states.back(), &familyOut);
    if (error.failed()) return Error{error.code, name + ": " + error.message};
    descriptors.emplace_back(name, familyOut);
  }
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  std::unique_ptr<rocksdb::DB> opened;
  rocksdb::Status status = rocksdb::DB::Open(dbOptions, path_, descriptors, &handles, &opened);
  if (!status.ok()) return openError(*dbOptions.env, path_, status);
  db_ = std::move(opened);
  for (size_t i = 0; i < handles.size(); i++) addFamily(handles[i], states[i]);
  return Error();
}

void Store::addFamily(rocksdb::ColumnFamilyHandle* handle, std::shared_ptr<FamilyState> state) {
  auto family = std::make_shared<Family>();
  family->name = handle->GetName();
  family->state = std::move(state);
  family->db = db_;
  family->handle = handle;
  overwrites_.added(*family);
  std::lock_guard<std::mutex> lock(familiesMutex_);
  auto table = std::make_shared<FamilyTable>(*families_);
  uint32_t id = handle->GetID();
  if (table->byId.size() <= id) table->byId.resize(id + 1);
  table->byId[id] = std::move(family);
  families_ = std::move(table);
}

std::shared_ptr<const FamilyTable> Store::families() const {
  std::lock_guard<std::mutex> lock(familiesMutex_);
  return families_;
}

std::shared_ptr<Family> Store::family(uint32_t id) const {
  std::lock_guard<std::mutex> lock(familiesMutex_);
  return id < families_->byId.size() ? families_->byId[id] : nullptr;
}

Error Store::createFamilies(const std::vector<std::pair<std::string, FamilyOptions>>& wanted,
                            std::vector<uint32_t>* ids) {
  std::lock_guard<std::mutex> lock(alterMutex_);
  std::vector<std::shared_ptr<FamilyState>> states;
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  for (const auto& [name, options] : wanted) {
    auto state = std::make_shared<FamilyState>();
    rocksdb::ColumnFamilyOptions familyOut;
    Error error = familyOptions(process_, options, state, &familyOut);
    if (error.failed()) return error;
    states.push_back(std::move(state));
    descriptors.emplace_back(name, familyOut);
  }
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::Status status = db_->CreateColumnFamilies(descriptors, &handles);
  for (size_t i = 0; i < handles.size(); i++) {
    ids->push_back(handles[i]->GetID());
    addFamily(handles[i], std::move(states[i]));
  }
  return status.ok() ? Error() : errorOf(status);
}

Error Store::importFamily(const std::string& name, const FamilyOptions& options,
                          const std::string& directory, const std::string& metadata,
                          const std::vector<std::string>& names, bool move, uint32_t* id) {
  std::lock_guard<std::mutex> lock(alterMutex_);
  auto state = std::make_shared<FamilyState>();
  rocksdb::ColumnFamilyOptions familyOut;
  Error error = familyOptions(process_, options, state, &familyOut);
  if (error.failed()) return error;
  rocksdb::ExportImportFilesMetaData files;
  if (!decodeExport(metadata, directory, &files)) {
    return Error{Code::badArgument, "this is no metadata of an export"};
  }
  if (!names.empty()) {
    const std::set<std::string> wanted(names.begin(), names.end());
    std::erase_if(files.files, [&](const auto& file) { return wanted.count(file.name) == 0; });
    if (files.files.size() != wanted.size()) {
      return Error{Code::badArgument, "a file that is not in the export"};
    }
  }
  rocksdb::ImportColumnFamilyOptions import;
  import.move_files = move;
  rocksdb::ColumnFamilyHandle* handle = nullptr;
  rocksdb::Status status =
      db_->CreateColumnFamilyWithImport(familyOut, name, import, files, &handle);
  if (!status.ok()) return errorOf(status);
  *id = handle->GetID();
  addFamily(handle, std::move(state));
  return Error();
}

Error Store::exportFamily(uint32_t id, const std::string& directory, std::string* metadata,
                          std::vector<rocksdb::LiveFileMetaData>* list) {
  std::shared_ptr<Family> exported = family(id);
  if (exported == nullptr) return Error{Code::badArgument, "no such column family"};
  rocksdb::Checkpoint* raw = nullptr;
  rocksdb::Status status = rocksdb::Checkpoint::Create(db_.get(), &raw);
  std::unique_ptr<rocksdb::Checkpoint> checkpoint(raw);
  rocksdb::ExportImportFilesMetaData* files = nullptr;
  if (status.ok()) status = checkpoint->ExportColumnFamily(exported->handle, directory, &files);
  if (!status.ok()) return errorOf(status);
  encodeExport(*files, metadata);
  *list = files->files;
  // What an export tells of its files has no checksums.
  std::vector<rocksdb::LiveFileMetaData> live;
  db_->GetLiveFilesMetaData(&live);
  std::map<uint64_t, const rocksdb::LiveFileMetaData*> byNumber;
  for (const auto& file : live) byNumber[file.file_number] = &file;
  for (auto& file : *list) {
    auto known = byNumber.find(file.file_number);
    if (!file.file_checksum.empty() || known == byNumber.end()) continue;
    file.file_checksum = known->second->file_checksum;
    file.file_checksum_func_name = known->second->file_checksum_func_name;
  }
  delete files;
  return Error();
}

Error Store::dropFamily(const std::string& name) {
  std::lock_guard<std::mutex> lock(alterMutex_);
  std::shared_ptr<const FamilyTable> table = families();
  for (size_t id = 0; id < table->byId.size(); id++) {
    const auto& family = table->byId[id];
    if (family == nullptr || family->name != name) continue;
    rocksdb::Status status = db_->DropColumnFamily(family->handle);
    if (!status.ok()) return errorOf(status);
    std::lock_guard<std::mutex> swap(familiesMutex_);
    auto next = std::make_shared<FamilyTable>(*families_);
    next->byId[id] = nullptr;
    families_ = std::move(next);
    return Error();
  }
  return Error{Code::badArgument, "no column family " + name};
}

const rocksdb::Snapshot* Store::takeSnapshot() {
  const rocksdb::Snapshot* snapshot = db_->GetSnapshot();
  snapshotsTaken_->fetch_add(1);
  return snapshot;
}

const std::map<std::string, double> Store::statistics() const {
  std::map<std::string, double> out;
  for (const auto& [ticker, name] : rocksdb::TickersNameMap) {
    out[name] = static_cast<double>(statistics_->getTickerCount(ticker));
  }
  for (const auto& [histogram, name] : rocksdb::HistogramsNameMap) {
    rocksdb::HistogramData data;
    statistics_->histogramData(histogram, &data);
    if (data.count == 0) continue;
    out[name + ".count"] = static_cast<double>(data.count);
    out[name + ".p50"] = data.median;
    out[name + ".p99"] = data.percentile99;
    out[name + ".max"] = data.max;
  }
  return out;
}

size_t Store::tableReaderBytes() {
  uint64_t bytes = 0;
  db_->GetAggregatedIntProperty(rocksdb::DB::Properties::kEstimateTableReadersMem, &bytes);
  return bytes;
}

void Store::attach(EventSink* sink) {
  std::lock_guard<std::mutex> lock(sinksMutex_);
  sinks_.push_back(sink);
}

void Store::detach(EventSink* sink) {
  std::lock_guard<std::mutex> lock(sinksMutex_);
  std::erase(sinks_, sink);
}

void Store::publish(const Event& event) {
  std::lock_guard<std::mutex> lock(sinksMutex_);
  for (EventSink* sink : sinks_) sink->event(event);
}

void Store::close() {
  if (db_ == nullptr) return;
  writer_.reset();
  {
    std::lock_guard<std::mutex> lock(familiesMutex_);
    families_ = std::make_shared<FamilyTable>();
  }
  // The log is synced: a clean end loses nothing, whatever the durability.
  db_->SyncWAL().PermitUncheckedError();
  db_->Close().PermitUncheckedError();
  db_.reset();
}

}  // namespace ilion
