// Makes sessions of OpenSSL, and keeps its threads apart from the end of the process.
#pragma once
#include <string>

#include "openssl.h"
#include "tls-stream.h"

namespace ilion {

// Each use of OpenSSL is within one of these, and none waits in there: exit() frees what OpenSSL has, so that it first
// waits for those that are inside, and whoever comes later stays outside.
class InsideOpenssl {
 public:
  InsideOpenssl();
  ~InsideOpenssl();
};

// Words for the first error in OpenSSL's queue; empty: it has none.
std::string opensslReason();

// Null, with BAD_ARGUMENT, for certificates that cannot be used. Within InsideOpenssl.
SSL* newSession(const TlsOptions& options, int socket, Error* error);

}  // namespace ilion
