// Reads JSON in place: a value is a span of the text that it stands in. Nothing is allocated but by `json_text`.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  const char *at;
  const char *end;
} json;

// The value that the whole text is; false where it is not valid JSON.
bool json_parse(const char *text, size_t length, json *value);

// Whether the value is an object, an array, a string or null, by its first letter: '{', '[', '"' or 'n'.
bool json_is(json value, char first);

// The next member of an object, or the next item of an array. `rest` begins as the object or array itself. False at the
// end. Only for valid JSON. `key` is a string's value, with its quotes.
bool json_next(json *rest, json *key, json *value);

// The member of an object by its name, which must need no escapes; false where there is none.
bool json_member(json object, const char *name, json *value);

// Whether a string's value is these letters, which must need no escapes.
bool json_equals(json value, const char *text);

// A string without quotes and escapes, in UTF-8, in new memory; NULL where the value is no string.
char *json_text(json value, size_t *length);

// A count; 0 where the value is no whole number.
uint64_t json_count(json value);
