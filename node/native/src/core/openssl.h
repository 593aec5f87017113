// The part of OpenSSL that is used here, as it is exported by the node binary. No package has its headers; these are the
// declarations of version 3.0, which all of version 3 keep (checked by `opensslProblem` in tls-stream.cc).
#pragma once
#include <cstddef>
#include <cstdint>

extern "C" {

struct bio_st;
struct evp_pkey_st;
struct ssl_ctx_st;
struct ssl_method_st;
struct ssl_st;
struct x509_st;
struct x509_store_ctx_st;
struct x509_store_st;
struct X509_VERIFY_PARAM_st;
using BIO = bio_st;
using EVP_PKEY = evp_pkey_st;
using SSL = ssl_st;
using SSL_CTX = ssl_ctx_st;
using SSL_METHOD = ssl_method_st;
using X509 = x509_st;
using X509_STORE = x509_store_st;
using X509_STORE_CTX = x509_store_ctx_st;
using X509_VERIFY_PARAM = X509_VERIFY_PARAM_st;
using pem_password_cb = int(char* buffer, int size, int writes, void* data);

unsigned long OpenSSL_version_num(void);
void OPENSSL_thread_stop(void);
void ERR_clear_error(void);
unsigned long ERR_get_error(void);
const char* ERR_reason_error_string(unsigned long error);

BIO* BIO_new_mem_buf(const void* bytes, int length);
int BIO_free(BIO* bio);
X509* PEM_read_bio_X509(BIO* bio, X509** reused, pem_password_cb* password, void* data);
EVP_PKEY* PEM_read_bio_PrivateKey(BIO* bio, EVP_PKEY** reused, pem_password_cb* password, void* data);
void X509_free(X509* certificate);
void EVP_PKEY_free(EVP_PKEY* key);
int X509_STORE_add_cert(X509_STORE* store, X509* certificate);
const char* X509_verify_cert_error_string(long result);
int X509_VERIFY_PARAM_set1_host(X509_VERIFY_PARAM* param, const char* name, size_t length);
int X509_VERIFY_PARAM_set1_ip_asc(X509_VERIFY_PARAM* param, const char* address);

const SSL_METHOD* TLS_method(void);
SSL_CTX* SSL_CTX_new(const SSL_METHOD* method);
void SSL_CTX_free(SSL_CTX* context);
long SSL_CTX_ctrl(SSL_CTX* context, int command, long number, void* pointer);
uint64_t SSL_CTX_set_options(SSL_CTX* context, uint64_t options);
int SSL_CTX_set_cipher_list(SSL_CTX* context, const char* list);
int SSL_CTX_set_ciphersuites(SSL_CTX* context, const char* list);
int SSL_CTX_set_num_tickets(SSL_CTX* context, size_t count);
void SSL_CTX_set_default_read_buffer_len(SSL_CTX* context, size_t length);
void SSL_CTX_set_verify(SSL_CTX* context, int mode, int (*callback)(int, X509_STORE_CTX*));
int SSL_CTX_use_certificate(SSL_CTX* context, X509* certificate);
int SSL_CTX_use_PrivateKey(SSL_CTX* context, EVP_PKEY* key);
int SSL_CTX_check_private_key(const SSL_CTX* context);
X509_STORE* SSL_CTX_get_cert_store(const SSL_CTX* context);

SSL* SSL_new(SSL_CTX* context);
void SSL_free(SSL* ssl);
int SSL_set_fd(SSL* ssl, int socket);
void SSL_set_accept_state(SSL* ssl);
void SSL_set_connect_state(SSL* ssl);
X509_VERIFY_PARAM* SSL_get0_param(SSL* ssl);
int SSL_do_handshake(SSL* ssl);
int SSL_read(SSL* ssl, void* out, int length);
int SSL_write(SSL* ssl, const void* bytes, int length);
int SSL_shutdown(SSL* ssl);
int SSL_get_error(const SSL* ssl, int result);
long SSL_get_verify_result(const SSL* ssl);

constexpr int SSL_ERROR_SSL = 1;
constexpr int SSL_ERROR_WANT_READ = 2;
constexpr int SSL_ERROR_WANT_WRITE = 3;
constexpr int SSL_ERROR_SYSCALL = 5;
constexpr int SSL_ERROR_ZERO_RETURN = 6;
constexpr int SSL_VERIFY_NONE = 0;
constexpr int SSL_VERIFY_PEER = 1;
constexpr int SSL_VERIFY_FAIL_IF_NO_PEER_CERT = 2;
constexpr int SSL_CTRL_EXTRA_CHAIN_CERT = 14;
constexpr int SSL_CTRL_SET_READ_AHEAD = 41;
constexpr int SSL_CTRL_SET_SESS_CACHE_MODE = 44;
constexpr int SSL_CTRL_SET_MIN_PROTO_VERSION = 123;
constexpr long SSL_SESS_CACHE_OFF = 0;
constexpr long TLS1_2_VERSION = 0x0303;
constexpr uint64_t SSL_OP_IGNORE_UNEXPECTED_EOF = uint64_t{1} << 7;
constexpr uint64_t SSL_OP_NO_TICKET = uint64_t{1} << 14;
constexpr uint64_t SSL_OP_NO_COMPRESSION = uint64_t{1} << 17;
constexpr uint64_t SSL_OP_NO_RENEGOTIATION = uint64_t{1} << 30;
constexpr long X509_V_OK = 0;

}  // extern "C"
