#include "json.h"

#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 64 };

struct reader {
  const char *at, *end;
  int depth;
};

static struct json *value(struct reader *in);

static void skip_space(struct reader *in) {
  while (in->at < in->end && memchr(" \t\r\n", *in->at, 4)) in->at++;
}

static bool take(struct reader *in, const char *word) {
  size_t length = strlen(word);
  if ((size_t)(in->end - in->at) < length || memcmp(in->at, word, length)) return false;
  in->at += length;
  return true;
}

static bool take_mark(struct reader *in, const char *mark) {
  skip_space(in);
  return take(in, mark);
}

static char *utf8(char *out, unsigned letter) {
  if (letter < 0x80) {
    *out++ = letter;
  } else if (letter < 0x800) {
    *out++ = 0xc0 | letter >> 6;
    *out++ = 0x80 | (letter & 0x3f);
  } else if (letter < 0x10000) {
    *out++ = 0xe0 | letter >> 12;
    *out++ = 0x80 | (letter >> 6 & 0x3f);
    *out++ = 0x80 | (letter & 0x3f);
  } else {
    *out++ = 0xf0 | letter >> 18;
    *out++ = 0x80 | (letter >> 12 & 0x3f);
    *out++ = 0x80 | (letter >> 6 & 0x3f);
    *out++ = 0x80 | (letter & 0x3f);
  }
  return out;
}

static bool hex4(struct reader *in, unsigned *code) {
  if (in->end - in->at < 4) return false;
  char digits[5] = {0}, *rest;
  memcpy(digits, in->at, 4);
  if (!digits[0] || strspn(digits, "0123456789abcdefABCDEF") != 4) return false;
  *code = strtoul(digits, &rest, 16);
  in->at += 4;
  return true;
}

// After the opening quote; the text ends with a zero that `length` does not count.
static bool string(struct reader *in, char **text, size_t *length) {
  // No escape is shorter than what it stands for.
  char *out = *text = malloc(in->end - in->at + 1);
  while (in->at < in->end && *in->at != '"') {
    if ((unsigned char)*in->at < 0x20) return false;
    if (*in->at != '\\') {
      *out++ = *in->at++;
      continue;
    }
    if (++in->at == in->end) return false;
    const char *plain = strchr("\"\"\\\\//b\bf\fn\nr\rt\t", *in->at);
    if (*in->at == 'u') {
      unsigned code, low;
      in->at++;
      if (!hex4(in, &code)) return false;
      if (code >= 0xd800 && code < 0xdc00) {
        if (!take(in, "\\u") || !hex4(in, &low) || low < 0xdc00 || low > 0xdfff) return false;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
      } else if (code >= 0xdc00 && code < 0xe000) {
        return false;
      }
      out = utf8(out, code);
    } else if (*in->at && plain) {
      *out++ = plain[1];
      in->at++;
    } else {
      return false;
    }
  }
  *out = 0;
  *length = out - *text;
  return take(in, "\"");
}

static bool number(struct reader *in, double *number) {
  char digits[64] = {0}, *rest;
  size_t length = 0;
  while (in->at < in->end && length + 1 < sizeof digits && *in->at && strchr("+-.0123456789eE", *in->at))
    digits[length++] = *in->at++;
  *number = strtod(digits, &rest);
  return length && !*rest;
}

static bool items(struct reader *in, struct json *list, const char *end) {
  struct json **last = &list->first;
  if (take_mark(in, end)) return true;
  do {
    char *key = NULL;
    size_t length;
    bool has_key = list->kind == JSON_OBJECT;
    if (has_key && !(take_mark(in, "\"") && string(in, &key, &length) && take_mark(in, ":"))) return false;
    if (!(*last = value(in))) return false;
    (*last)->key = key;
    last = &(*last)->next;
  } while (take_mark(in, ","));
  return take_mark(in, end);
}

static struct json *value(struct reader *in) {
  struct json *found = calloc(1, sizeof *found);
  bool is_good = false;
  skip_space(in);
  if (++in->depth > DEEPEST || in->at == in->end) return NULL;
  if (take(in, "null")) {
    is_good = true;
  } else if (take(in, "true") || take(in, "false")) {
    found->kind = JSON_BOOL;
    found->is_true = in->at[-2] == 'u';
    is_good = true;
  } else if (take(in, "\"")) {
    found->kind = JSON_STRING;
    is_good = string(in, &found->text, &found->length);
  } else if (take(in, "[")) {
    found->kind = JSON_ARRAY;
    is_good = items(in, found, "]");
  } else if (take(in, "{")) {
    found->kind = JSON_OBJECT;
    is_good = items(in, found, "}");
  } else {
    found->kind = JSON_NUMBER;
    is_good = number(in, &found->number);
  }
  in->depth--;
  return is_good ? found : NULL;
}

struct json *json_parse(const char *text, size_t length) {
  struct reader in = {text, text + length, 0};
  struct json *found = value(&in);
  skip_space(&in);
  return in.at == in.end ? found : NULL;
}

struct json *json_get(const struct json *object, const char *key) {
  for (struct json *member = object->first; member; member = member->next)
    if (member->key && !strcmp(member->key, key)) return member;
  return NULL;
}
