// A TLS connection whose bytes go between a socket and files without passing through JavaScript. Its calls block: give each
// a thread of its own.
#pragma once
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

#include "error.h"

struct ssl_st;

namespace ilion {

struct TlsOptions {
  // PEM. Without a certificate none is shown; a chain has the own one first.
  std::string certificate, key, authorities;
  bool server = false;
  // The peer must show a certificate of `authorities`.
  bool verify = true;
  // An address or name that the peer's certificate must be made out to; empty: none.
  std::string peer;
};

struct FileRange {
  std::string path;
  int64_t offset = 0;
  int64_t length = 0;
};

// Why OpenSSL cannot be used here; null: it can.
const char* opensslProblem();

// At the end of a thread that made calls: frees what OpenSSL keeps for it. Its own end may be that of the process, too.
void leaveOpenssl();

// One call at a time, between `begin` and `end`. After one that failed (but for the file's sake) there can be no other.
class TlsStream {
 public:
  // `socket`: non-blocking, the stream's own (a dup), closed with it.
  TlsStream(int socket, TlsOptions options) : socket_(socket), options_(std::move(options)) {}
  ~TlsStream() { close(); }
  TlsStream(const TlsStream&) = delete;

  // CLOSED; BAD_ARGUMENT if there is a call already.
  Error begin();
  void end();
  // From any thread, any number of times. A call that is under way fails soon; nothing that it uses goes before its `end`.
  void close();

  // In all `timeoutMs` (0: any time): for what has few bytes, which a stranger may send one by one.
  void handshake(int timeoutMs, Error* error);
  void read(std::string* out, size_t length, int timeoutMs, Error* error);
  void write(const std::string& bytes, int timeoutMs, Error* error);

  // As sendFileRange and receiveToFile of transfer.h. What came before a failure is in the file.
  int64_t sendFile(const FileRange& range, int timeoutMs, Error* error);
  int64_t receiveFile(const FileRange& range, int timeoutMs, bool sync, Error* error);

 private:
  class Patience;
  bool makeSession(Error* error);
  bool isReady(Error* error) const;
  // The result (above 0) of an SSL_* call, waiting for the socket as it wants; 0: it has failed.
  template <typename Call>
  int attempt(Call call, const Patience& patience, Error* error);
  bool writeAll(const char* bytes, size_t length, const Patience& patience, Error* error);
  Error failureOf(int kind, int number) const;
  void release();  // with mutex_

  const int socket_;
  const TlsOptions options_;
  ssl_st* session_ = nullptr;
  bool ready_ = false;   // the handshake is done
  bool broken_ = false;  // a call has failed
  std::mutex mutex_;
  bool busy_ = false;
  std::atomic<bool> closed_{false};
};

}  // namespace ilion
