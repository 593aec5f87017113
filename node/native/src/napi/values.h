// Conversion between JavaScript's values and ours. What index.ts passes has been checked by its types, so a wrong kind of
// value gives an empty or zero one here, never a crash.
#pragma once
#include <node_api.h>

#include <optional>
#include <string>
#include <vector>

namespace ilion {

// A typed array's bytes; valid until JavaScript runs again, unless the array is referenced.
struct View {
  char* data = nullptr;
  size_t size = 0;
};

template <size_t N>
struct Arguments {
  Arguments(napi_env env, napi_callback_info info) {
    size_t count = N;
    napi_get_cb_info(env, info, &count, values, nullptr, nullptr);
  }
  napi_value operator[](size_t i) const { return values[i]; }
  napi_value values[N];
};

View viewOf(napi_env env, napi_value value);
double numberOf(napi_env env, napi_value value);
uint32_t u32Of(napi_env env, napi_value value);
bool boolOf(napi_env env, napi_value value);
std::string stringOf(napi_env env, napi_value value);
std::vector<std::string> stringsOf(napi_env env, napi_value array);
std::vector<uint32_t> u32sOf(napi_env env, napi_value array);
// Of a Uint8Array; nothing for null or undefined.
std::optional<std::string> bytesOf(napi_env env, napi_value value);
napi_value property(napi_env env, napi_value object, const char* name);
// Calls `visit(name, value)` for an object's own properties.
template <typename Visit>
void forEachProperty(napi_env env, napi_value object, Visit visit) {
  napi_value names = nullptr;
  uint32_t count = 0;
  if (napi_get_property_names(env, object, &names) != napi_ok) return;
  napi_get_array_length(env, names, &count);
  for (uint32_t i = 0; i < count; i++) {
    napi_value name = nullptr, value = nullptr;
    napi_get_element(env, names, i, &name);
    napi_get_property(env, object, name, &value);
    visit(stringOf(env, name), value);
  }
}

napi_value toNumber(napi_env env, double value);
napi_value toInt(napi_env env, int32_t value);
napi_value toBool(napi_env env, bool value);
napi_value toString(napi_env env, const std::string& value);
napi_value toBuffer(napi_env env, const std::string& value);
napi_value undefined(napi_env env);
napi_value newObject(napi_env env);
void set(napi_env env, napi_value object, const char* name, napi_value value);

}  // namespace ilion
