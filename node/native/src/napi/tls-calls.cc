// TLS connections between sockets and files.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../core/tls-stream.h"
#include "calls.h"

namespace ilion {
namespace {

constexpr uint32_t kServer = 1;
constexpr uint32_t kVerify = 2;
constexpr uint32_t kReadBytes = 64 << 10;

// What JavaScript holds: with it, at the latest at the end of its thread, the connection goes. Calls under way share the
// stream alone, so that they do not hold it open.
struct TlsHandle {
  explicit TlsHandle(std::shared_ptr<TlsStream> opened) : stream(std::move(opened)) {}
  ~TlsHandle() { stream->close(); }
  const std::shared_ptr<TlsStream> stream;
};

// tlsOpen(socket, certificate, key, authorities, peer, flags) -> stream
napi_value tlsOpen(napi_env env, napi_callback_info info) {
  Arguments<6> a(env, info);
  if (const char* problem = opensslProblem()) {
    throwError(env, Code::badArgument, problem);
    return nullptr;
  }
  const int own = fcntl(static_cast<int>(u32Of(env, a[0])), F_DUPFD_CLOEXEC, 0);
  int type = 0;
  socklen_t length = sizeof type;
  if (own < 0 || getsockopt(own, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type != SOCK_STREAM) {
    if (own >= 0) ::close(own);
    throwError(env, Code::badArgument, "this descriptor is no socket");
    return nullptr;
  }
  const uint32_t flags = u32Of(env, a[5]);
  TlsOptions options;
  options.certificate = bytesOf(env, a[1]).value_or("");
  options.key = bytesOf(env, a[2]).value_or("");
  options.authorities = bytesOf(env, a[3]).value_or("");
  options.peer = stringOf(env, a[4]);
  options.server = flags & kServer;
  options.verify = flags & kVerify;
  auto stream = std::make_shared<TlsStream>(own, std::move(options));
  return toExternal(env, std::make_shared<TlsHandle>(std::move(stream)));
}

// A call's promise. The stream's external is kept meanwhile: the collector would close the connection.
napi_value tlsCall(napi_env env, napi_value external, std::function<void(TlsStream&, Error*)> call,
                   std::function<napi_value(napi_env)> result = nullptr) {
  Worker* worker = Worker::of(env);
  auto* handle = externalOf<TlsHandle>(env, external);
  if (worker == nullptr || handle == nullptr) return nullptr;
  const std::shared_ptr<TlsStream> stream = (*handle)->stream;
  const Error refusal = stream->begin();
  if (refusal.failed()) {
    throwError(env, refusal.code, refusal.message.c_str());
    return nullptr;
  }
  napi_ref kept = nullptr;
  napi_create_reference(env, external, 1, &kept);
  JobOptions options;
  options.settled = [env, kept] { napi_delete_reference(env, kept); };
  napi_value promise = worker->start(
      env, options,
      [stream, call = std::move(call)](Job& job) {
        call(*stream, &job.error);
        stream->end();
        leaveOpenssl();
      },
      std::move(result));
  if (promise == nullptr) stream->end();
  return promise;
}

napi_value tlsTransfer(napi_env env, napi_value external,
                       std::function<int64_t(TlsStream&, Error*)> transfer) {
  auto moved = std::make_shared<int64_t>(0);
  return tlsCall(
      env, external,
      [transfer = std::move(transfer), moved](TlsStream& stream, Error* error) { *moved = transfer(stream, error); },
      [moved](napi_env e) { return toNumber(e, static_cast<double>(*moved)); });
}

FileRange rangeOf(napi_env env, napi_value path, napi_value offset, napi_value length) {
  return {stringOf(env, path), static_cast<int64_t>(numberOf(env, offset)),
          static_cast<int64_t>(numberOf(env, length))};
}

// tlsHandshake(stream, timeoutMs) -> Promise
napi_value tlsHandshake(napi_env env, napi_callback_info info) {
  Arguments<2> a(env, info);
  return tlsCall(env, a[0], [timeoutMs = static_cast<int>(u32Of(env, a[1]))](TlsStream& stream, Error* error) {
    stream.handshake(timeoutMs, error);
  });
}

// tlsRead(stream, length, timeoutMs) -> Promise<Buffer>
napi_value tlsRead(napi_env env, napi_callback_info info) {
  Arguments<3> a(env, info);
  const uint32_t length = u32Of(env, a[1]);
  if (length > kReadBytes) {
    throwError(env, Code::badArgument, "too many bytes to be read at once");
    return nullptr;
  }
  auto bytes = std::make_shared<std::string>();
  return tlsCall(
      env, a[0],
      [bytes, length, timeoutMs = static_cast<int>(u32Of(env, a[2]))](TlsStream& stream, Error* error) {
        stream.read(bytes.get(), length, timeoutMs, error);
      },
      [bytes](napi_env e) { return toBuffer(e, *bytes); });
}

// tlsWrite(stream, bytes, timeoutMs) -> Promise
napi_value tlsWrite(napi_env env, napi_callback_info info) {
  Arguments<3> a(env, info);
  return tlsCall(env, a[0],
                 [bytes = bytesOf(env, a[1]).value_or(""), timeoutMs = static_cast<int>(u32Of(env, a[2]))](
                     TlsStream& stream, Error* error) { stream.write(bytes, timeoutMs, error); });
}

// tlsSend(stream, path, offset, length, timeoutMs) -> Promise<bytes>
napi_value tlsSend(napi_env env, napi_callback_info info) {
  Arguments<5> a(env, info);
  return tlsTransfer(env, a[0],
                     [range = rangeOf(env, a[1], a[2], a[3]), timeoutMs = static_cast<int>(u32Of(env, a[4]))](
                         TlsStream& stream, Error* error) { return stream.sendFile(range, timeoutMs, error); });
}

// tlsReceive(stream, path, offset, length, timeoutMs, sync) -> Promise<bytes>
napi_value tlsReceive(napi_env env, napi_callback_info info) {
  Arguments<6> a(env, info);
  return tlsTransfer(env, a[0],
                     [range = rangeOf(env, a[1], a[2], a[3]), timeoutMs = static_cast<int>(u32Of(env, a[4])),
                      sync = boolOf(env, a[5])](TlsStream& stream, Error* error) {
                       return stream.receiveFile(range, timeoutMs, sync, error);
                     });
}

// tlsClose(stream): idempotent
napi_value tlsClose(napi_env env, napi_callback_info info) {
  Arguments<1> a(env, info);
  if (auto* handle = externalOf<TlsHandle>(env, a[0])) (*handle)->stream->close();
  return nullptr;
}

}  // namespace

const Function kTlsFunctions[] = {
    {"tlsOpen", tlsOpen},
    {"tlsHandshake", tlsHandshake},
    {"tlsRead", tlsRead},
    {"tlsWrite", tlsWrite},
    {"tlsSend", tlsSend},
    {"tlsReceive", tlsReceive},
    {"tlsClose", tlsClose},
    {nullptr, nullptr},
};

}  // namespace ilion
