#include "tls-session.h"

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <memory>

namespace ilion {
namespace {

// Many records come with one read of the socket.
constexpr size_t kReadAheadBytes = 128 << 10;
// The fastest first; all are as good.
constexpr const char* kCiphers13 = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr const char* kCiphers12 = "ECDHE+AESGCM:ECDHE+CHACHA20";

std::atomic<int> inside{0};
std::atomic<bool> exiting{false};

void awaitThreads() {
  exiting.store(true);
  while (inside.load() > 0) usleep(100);
}

template <typename T, auto release>
struct Releaser {
  void operator()(T* object) const { release(object); }
};
template <typename T, auto release>
using Owned = std::unique_ptr<T, Releaser<T, release>>;
using Context = Owned<SSL_CTX, SSL_CTX_free>;
using Bio = Owned<BIO, BIO_free>;
using Certificate = Owned<X509, X509_free>;
using Key = Owned<EVP_PKEY, EVP_PKEY_free>;

// The default asks the terminal.
int noPassword(char*, int, int, void*) { return -1; }

Bio bioOf(const std::string& pem) { return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))); }

Certificate nextCertificate(const Bio& bio) {
  return Certificate(PEM_read_bio_X509(bio.get(), nullptr, noPassword, nullptr));
}

bool useOwn(SSL_CTX* context, const TlsOptions& options) {
  const Bio certificates = bioOf(options.certificate), keys = bioOf(options.key);
  Certificate own = nextCertificate(certificates);
  if (own == nullptr || SSL_CTX_use_certificate(context, own.get()) != 1) return false;
  while (Certificate above = nextCertificate(certificates)) {
    if (SSL_CTX_ctrl(context, SSL_CTRL_EXTRA_CHAIN_CERT, 0, above.get()) != 1) return false;
    above.release();  // the context's now
  }
  ERR_clear_error();  // of the end of the text
  Key key(PEM_read_bio_PrivateKey(keys.get(), nullptr, noPassword, nullptr));
  return key != nullptr && SSL_CTX_use_PrivateKey(context, key.get()) == 1 &&
         SSL_CTX_check_private_key(context) == 1;
}

bool believe(SSL_CTX* context, const std::string& authorities) {
  const Bio bio = bioOf(authorities);
  int count = 0;
  while (Certificate authority = nextCertificate(bio)) {
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority.get()) != 1) return false;
    count++;
  }
  if (count > 0) ERR_clear_error();
  return count > 0;
}

bool makeOutTo(SSL* session, const std::string& peer) {
  X509_VERIFY_PARAM* param = SSL_get0_param(session);
  return X509_VERIFY_PARAM_set1_ip_asc(param, peer.c_str()) == 1 ||
         X509_VERIFY_PARAM_set1_host(param, peer.data(), peer.size()) == 1;
}

SSL* refused(const char* what, Error* error) {
  *error = Error{Code::badArgument, std::string(what) + " cannot be used: " + opensslReason()};
  return nullptr;
}

}  // namespace

const char* opensslProblem() {
  if (OpenSSL_version_num() >> 28 != 3) return "TLS needs a Node with OpenSSL 3";
  // After OpenSSL's own, so that it runs before: Node has used OpenSSL before any addon is loaded.
  static const int registered = std::atexit(awaitThreads);
  return registered == 0 ? nullptr : "no handler at exit";
}

void leaveOpenssl() {
  InsideOpenssl inside;
  OPENSSL_thread_stop();
}

InsideOpenssl::InsideOpenssl() {
  inside.fetch_add(1);
  if (!exiting.load()) return;
  inside.fetch_sub(1);
  for (;;) pause();
}

InsideOpenssl::~InsideOpenssl() { inside.fetch_sub(1); }

std::string opensslReason() {
  const unsigned long code = ERR_get_error();
  if (code == 0) return "";
  const char* reason = ERR_reason_error_string(code);
  return reason == nullptr ? "OpenSSL's error " + std::to_string(code) : reason;
}

SSL* newSession(const TlsOptions& options, int socket, Error* error) {
  ERR_clear_error();
  Context context(SSL_CTX_new(TLS_method()));
  if (context == nullptr) return refused("OpenSSL", error);
  SSL_CTX* const c = context.get();
  SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                             SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_num_tickets(c, 0);
  SSL_CTX_ctrl(c, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, nullptr);
  SSL_CTX_ctrl(c, SSL_CTRL_SET_READ_AHEAD, 1, nullptr);
  SSL_CTX_set_default_read_buffer_len(c, kReadAheadBytes);
  if (SSL_CTX_ctrl(c, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, nullptr) != 1 ||
      SSL_CTX_set_ciphersuites(c, kCiphers13) != 1 || SSL_CTX_set_cipher_list(c, kCiphers12) != 1) {
    return refused("OpenSSL", error);
  }
  if (!options.certificate.empty() && !useOwn(c, options)) {
    return refused("the certificate and its key", error);
  }
  if (options.verify && !believe(c, options.authorities)) return refused("the authority", error);
  const int who = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  SSL_CTX_set_verify(c, options.verify ? who : SSL_VERIFY_NONE, nullptr);
  Owned<SSL, SSL_free> session(SSL_new(c));
  if (session == nullptr || SSL_set_fd(session.get(), socket) != 1) return refused("OpenSSL", error);
  if (!options.peer.empty() && !makeOutTo(session.get(), options.peer)) {
    return refused("the peer's name", error);
  }
  ERR_clear_error();
  options.server ? SSL_set_accept_state(session.get()) : SSL_set_connect_state(session.get());
  return session.release();
}

}  // namespace ilion
