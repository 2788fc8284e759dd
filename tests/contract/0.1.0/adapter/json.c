// See json.h. One function skips a value and is the only judge of what is valid.

#include "json.h"

#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 128 };

static const char *blank(const char *p, const char *end) {
  while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) p++;
  return p;
}

static bool is_digit(const char *p, const char *end) { return p < end && *p >= '0' && *p <= '9'; }

static bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static const char *skip_string(const char *p, const char *end) {
  for (p++; p < end && *p != '"'; p++) {
    if ((unsigned char)*p < 0x20) return NULL;
    if (*p != '\\') continue;
    if (++p >= end) return NULL;
    if (*p == 'u') {
      for (int digit = 0; digit < 4; digit++)
        if (++p >= end || !is_hex(*p)) return NULL;
    } else if (!strchr("\"\\/bfnrt", *p)) {
      return NULL;
    }
  }
  return p < end ? p + 1 : NULL;
}

static const char *skip_number(const char *p, const char *end) {
  if (p < end && *p == '-') p++;
  if (!is_digit(p, end)) return NULL;
  if (*p == '0')
    p++;
  else
    while (is_digit(p, end)) p++;
  if (p < end && *p == '.') {
    if (!is_digit(++p, end)) return NULL;
    while (is_digit(p, end)) p++;
  }
  if (p < end && (*p == 'e' || *p == 'E')) {
    p++;
    if (p < end && (*p == '+' || *p == '-')) p++;
    if (!is_digit(p, end)) return NULL;
    while (is_digit(p, end)) p++;
  }
  return p;
}

// The first letter after the value; NULL where there is no value.
static const char *skip(const char *p, const char *end, int depth) {
  static const char *const words[] = {"true", "false", "null"};
  if (p >= end || depth > DEEPEST) return NULL;
  if (*p == '"') return skip_string(p, end);
  if (*p != '{' && *p != '[') {
    for (int word = 0; word < 3; word++) {
      size_t length = strlen(words[word]);
      if ((size_t)(end - p) >= length && !memcmp(p, words[word], length)) return p + length;
    }
    return skip_number(p, end);
  }
  char close = *p == '{' ? '}' : ']';
  p = blank(p + 1, end);
  if (p < end && *p == close) return p + 1;
  for (;;) {
    if (close == '}') {
      if (p >= end || *p != '"' || !(p = skip_string(p, end))) return NULL;
      p = blank(p, end);
      if (p >= end || *p != ':') return NULL;
      p = blank(p + 1, end);
    }
    if (!(p = skip(p, end, depth + 1))) return NULL;
    p = blank(p, end);
    if (p >= end || (*p != ',' && *p != close)) return NULL;
    if (*p++ == close) return p;
    p = blank(p, end);
  }
}

bool json_parse(const char *text, size_t length, json *value) {
  const char *end = text + length;
  const char *at = blank(text, end);
  const char *after = skip(at, end, 0);
  *value = (json){at, after};
  return after && blank(after, end) == end;
}

bool json_is(json value, char first) { return value.at < value.end && *value.at == first; }

bool json_next(json *rest, json *key, json *value) {
  // Before the first member this is the opening bracket, later the comma.
  bool is_object = rest->end[-1] == '}';
  const char *p = blank(rest->at, rest->end);
  p = blank(p + 1, rest->end);
  if (p >= rest->end - 1) return false;
  if (is_object) {
    const char *after = skip_string(p, rest->end);
    if (key) *key = (json){p, after};
    p = blank(blank(after, rest->end) + 1, rest->end);
  }
  const char *after = skip(p, rest->end, 0);
  *value = (json){p, after};
  rest->at = blank(after, rest->end);
  return true;
}

bool json_member(json object, const char *name, json *value) {
  json key;
  bool has = false;
  if (!json_is(object, '{')) return false;
  for (json found; json_next(&object, &key, &found);) {
    if (!json_equals(key, name)) continue;
    *value = found;
    has = true;
  }
  return has;
}

bool json_equals(json value, const char *text) {
  size_t length = strlen(text);
  return json_is(value, '"') && (size_t)(value.end - value.at) == length + 2 && !memcmp(value.at + 1, text, length);
}

static unsigned hex(const char *p) {
  unsigned code = 0;
  for (int digit = 0; digit < 4; digit++) {
    char c = p[digit];
    code = code << 4 | (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return code;
}

static char *put(char *out, unsigned code) {
  if (code < 0x80) {
    *out++ = (char)code;
  } else if (code < 0x800) {
    *out++ = (char)(0xc0 | code >> 6);
    *out++ = (char)(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    *out++ = (char)(0xe0 | code >> 12);
    *out++ = (char)(0x80 | (code >> 6 & 0x3f));
    *out++ = (char)(0x80 | (code & 0x3f));
  } else {
    *out++ = (char)(0xf0 | code >> 18);
    *out++ = (char)(0x80 | (code >> 12 & 0x3f));
    *out++ = (char)(0x80 | (code >> 6 & 0x3f));
    *out++ = (char)(0x80 | (code & 0x3f));
  }
  return out;
}

char *json_text(json value, size_t *length) {
  if (!json_is(value, '"')) return NULL;
  // An escape is never shorter than what it stands for.
  char *text = malloc((size_t)(value.end - value.at));
  if (!text) abort();
  char *out = text;
  const char *end = value.end - 1;
  for (const char *p = value.at + 1; p < end; p++) {
    if (*p != '\\') {
      *out++ = *p;
      continue;
    }
    static const char plain[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    if (*++p != 'u') {
      *out++ = meant[strchr(plain, *p) - plain];
      continue;
    }
    unsigned code = hex(p + 1);
    p += 4;
    if (code >= 0xd800 && code < 0xe000) {
      bool is_pair = code < 0xdc00 && end - p > 6 && p[1] == '\\' && p[2] == 'u';
      unsigned low = is_pair ? hex(p + 3) : 0;
      if (low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        p += 6;
      } else {
        code = 0xfffd;
      }
    }
    out = put(out, code);
  }
  *length = (size_t)(out - text);
  return text;
}

uint64_t json_count(json value) {
  uint64_t count = 0;
  for (const char *p = value.at; p < value.end; p++) {
    if (!is_digit(p, value.end) || count > UINT64_MAX / 10 - 9) return 0;
    count = count * 10 + (uint64_t)(*p - '0');
  }
  return count;
}
