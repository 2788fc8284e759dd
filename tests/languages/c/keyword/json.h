// A JSON text as a tree. Nothing of it is ever freed: a configuration is read once and lives as long as the instance.
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>

enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
  enum json_kind kind;
  bool is_true;
  double number;
  // A string's bytes, without a zero at the end.
  char *text;
  size_t length;
  // The name of a member; ends with a zero.
  char *key;
  // What an array or an object has, as a list.
  struct json *first, *next;
};

// NULL where the text is not JSON.
struct json *json_parse(const char *text, size_t length);

// The member of an object; NULL where there is none.
struct json *json_get(const struct json *object, const char *key);

#endif
