/* Stands in for Exim: what the library's shim looks for. Every line that it is given must be one
 * line of printable text, and must not tell of a panic: those are contained in the library, and
 * nobody would see them otherwise. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlfunc.h"

exim_bool host_checking;
/* Debugging output is on, so that every text is formatted. */
unsigned debug_selector = 1;

static void look_at(const char *text)
{
  size_t length = strlen(text);
  if (length >= 512 || strncmp(text, "eximrbl: ", 9) != 0 || strstr(text, "internal error")) {
    fprintf(stderr, "the library says: %s\n", text);
    abort();
  }
  for (size_t i = 0; i < length; i++)
    if (text[i] < ' ' || text[i] > '~') {
      fprintf(stderr, "not one line of printable text: %s\n", text);
      abort();
    }
}

void log_write(unsigned selector, int flags, const char *format, ...)
{
  va_list arguments;
  (void)selector;
  (void)flags;
  if (strcmp(format, "%s") != 0)
    abort();
  va_start(arguments, format);
  look_at(va_arg(arguments, const char *));
  va_end(arguments);
}

void debug_printf(const char *format, ...)
{
  va_list arguments;
  if (strcmp(format, "%s\n") != 0)
    abort();
  va_start(arguments, format);
  look_at(va_arg(arguments, const char *));
  va_end(arguments);
}
