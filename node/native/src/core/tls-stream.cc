#include "tls-stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>

#include "descriptor.h"
#include "tls-session.h"

namespace ilion {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kSendBytes = 256 << 10;
constexpr size_t kReceiveBytes = 512 << 10;
constexpr size_t kPageBytes = 4096;

struct Free {
  void operator()(char* bytes) const { std::free(bytes); }
};
using Buffer = std::unique_ptr<char, Free>;

Buffer newBuffer(size_t length) { return Buffer(static_cast<char*>(std::aligned_alloc(kPageBytes, length))); }

Error closedError() { return Error{Code::closed, "the connection is closed"}; }

bool writeAt(int file, const char* bytes, size_t length, int64_t offset, const std::string& path, Error* error) {
  while (length > 0) {
    ssize_t count = pwrite(file, bytes, length, offset);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      *error = systemError("cannot write", path, count == 0 ? EIO : errno);
      return false;
    }
    bytes += count;
    length -= static_cast<size_t>(count);
    offset += count;
  }
  return true;
}

}  // namespace

// How long a socket is waited for: each time, or in all.
class TlsStream::Patience {
 public:
  static Patience eachTime(int timeoutMs) { return Patience(timeoutMs, false); }
  static Patience inAll(int timeoutMs) { return Patience(timeoutMs, true); }

  bool wait(int socket, short events, Error* error) const {
    int left = timeoutMs_;
    if (inAll_ && timeoutMs_ > 0) {
      const auto rest = std::chrono::duration_cast<std::chrono::milliseconds>(until_ - Clock::now()).count();
      // Poll says it, with what has come until then.
      left = std::max(1, static_cast<int>(rest));
      if (rest <= 0) events = 0;
    }
    return waitFor(socket, events, left, error);
  }

 private:
  Patience(int timeoutMs, bool inAll)
      : timeoutMs_(timeoutMs), inAll_(inAll), until_(Clock::now() + std::chrono::milliseconds(timeoutMs)) {}
  const int timeoutMs_;
  const bool inAll_;
  const Clock::time_point until_;
};

Error TlsStream::begin() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (closed_) return closedError();
  if (busy_) return Error{Code::badArgument, "the connection is in use"};
  busy_ = true;
  return {};
}

void TlsStream::end() {
  std::lock_guard<std::mutex> lock(mutex_);
  busy_ = false;
  if (closed_) release();
}

void TlsStream::close() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (closed_) return;
  closed_ = true;
  if (busy_) {
    shutdown(socket_, SHUT_RDWR);
  } else {
    release();
  }
}

void TlsStream::release() {
  if (session_ != nullptr) {
    InsideOpenssl inside;
    // Tells the peer, if that takes no waiting.
    if (ready_ && !broken_) SSL_shutdown(session_);
    SSL_free(session_);
    session_ = nullptr;
    ERR_clear_error();  // this may be a thread of JavaScript, whose errors are looked at by others
  }
  ::close(socket_);
}

Error TlsStream::failureOf(int kind, int number) const {
  Error closed{Code::io, "the peer closed the connection"};
  if (kind == SSL_ERROR_ZERO_RETURN) return closed;
  if (kind == SSL_ERROR_SYSCALL && number != 0) return systemError("connection", "to the peer", number);
  std::string reason = opensslReason();
  if (reason.empty()) return closed;
  const long verified = SSL_get_verify_result(session_);
  if (verified != X509_V_OK) reason += std::string(": ") + X509_verify_cert_error_string(verified);
  return Error{Code::io, reason};
}

template <typename Call>
int TlsStream::attempt(Call call, const Patience& patience, Error* error) {
  for (;;) {
    int kind;
    {
      InsideOpenssl inside;
      ERR_clear_error();
      errno = 0;
      const int result = call(session_);
      if (result > 0) return result;
      const int number = errno;
      kind = SSL_get_error(session_, result);
      if (kind != SSL_ERROR_WANT_READ && kind != SSL_ERROR_WANT_WRITE) {
        *error = failureOf(kind, number);
        break;
      }
    }
    if (!patience.wait(socket_, kind == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, error)) break;
  }
  broken_ = true;
  if (closed_) *error = closedError();
  return 0;
}

bool TlsStream::isReady(Error* error) const {
  if (ready_ && !broken_) return true;
  *error = broken_ ? Error{Code::io, "an earlier call has failed"}
                   : Error{Code::badArgument, "the handshake is not done"};
  return false;
}

void TlsStream::handshake(int timeoutMs, Error* error) {
  if (session_ != nullptr) {
    *error = Error{Code::badArgument, "the handshake was done, or has failed"};
    return;
  }
  {
    InsideOpenssl inside;
    session_ = newSession(options_, socket_, error);
  }
  if (session_ == nullptr) return;
  ready_ = attempt(SSL_do_handshake, Patience::inAll(timeoutMs), error) > 0;
}

void TlsStream::read(std::string* out, size_t length, int timeoutMs, Error* error) {
  if (!isReady(error)) return;
  const Patience patience = Patience::inAll(timeoutMs);
  out->resize(length);
  for (size_t done = 0; done < length;) {
    auto take = [&](SSL* session) { return SSL_read(session, out->data() + done, static_cast<int>(length - done)); };
    const int count = attempt(take, patience, error);
    if (count == 0) return;
    done += static_cast<size_t>(count);
  }
}

bool TlsStream::writeAll(const char* bytes, size_t length, const Patience& patience, Error* error) {
  if (length == 0) return true;
  // It writes all of it, as partial writes are not asked for.
  auto give = [&](SSL* session) { return SSL_write(session, bytes, static_cast<int>(length)); };
  return attempt(give, patience, error) > 0;
}

void TlsStream::write(const std::string& bytes, int timeoutMs, Error* error) {
  if (isReady(error)) writeAll(bytes.data(), bytes.size(), Patience::inAll(timeoutMs), error);
}

int64_t TlsStream::sendFile(const FileRange& range, int timeoutMs, Error* error) {
  if (!isReady(error)) return 0;
  Descriptor file(open(range.path.c_str(), O_RDONLY | O_CLOEXEC));
  if (*file < 0) {
    *error = systemError("cannot open", range.path, errno);
    return 0;
  }
  posix_fadvise(*file, range.offset, range.length, POSIX_FADV_SEQUENTIAL);
  const Buffer buffer = newBuffer(kSendBytes);
  const Patience patience = Patience::eachTime(timeoutMs);
  int64_t sent = 0;
  while (sent < range.length) {
    const size_t want = static_cast<size_t>(std::min<int64_t>(kSendBytes, range.length - sent));
    const ssize_t count = pread(*file, buffer.get(), want, range.offset + sent);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      *error = count < 0 ? systemError("cannot read", range.path, errno)
                         : Error{Code::io, range.path + " ended early"};
      break;
    }
    if (!writeAll(buffer.get(), static_cast<size_t>(count), patience, error)) break;
    sent += count;
  }
  return sent;
}

int64_t TlsStream::receiveFile(const FileRange& range, int timeoutMs, bool sync, Error* error) {
  if (!isReady(error)) return 0;
  const std::string& path = range.path;
  const int create = range.offset == 0 ? O_CREAT : 0;
  Descriptor file(open(path.c_str(), O_WRONLY | create | O_CLOEXEC, 0644));
  if (*file < 0 || ftruncate(*file, range.offset) != 0) {
    *error = systemError("cannot open", path, errno);
    return 0;
  }
  const Buffer buffer = newBuffer(kReceiveBytes);
  const Patience patience = Patience::eachTime(timeoutMs);
  WriteBack writeBack(*file, range.offset);
  int64_t stored = 0;
  while (stored < range.length && !error->failed()) {
    const size_t want = static_cast<size_t>(std::min<int64_t>(kReceiveBytes, range.length - stored));
    size_t used = 0;
    while (used < want && !error->failed()) {
      auto take = [&](SSL* session) { return SSL_read(session, buffer.get() + used, static_cast<int>(want - used)); };
      used += static_cast<size_t>(attempt(take, patience, error));
    }
    Error writing;
    if (!writeAt(*file, buffer.get(), used, range.offset + stored, path, &writing)) {
      broken_ = true;  // the rest is on its way, and nobody takes it
      *error = writing;
      return stored;
    }
    stored += static_cast<int64_t>(used);
    if (sync) writeBack.reached(range.offset + stored);
  }
  if (!error->failed() && sync && fsync(*file) != 0) *error = systemError("cannot sync", path, errno);
  return stored;
}

}  // namespace ilion
