/* The calls that Rust cannot express, or has no declaration of: weak symbols, variadic functions,
 * secure_getenv. */

#define _GNU_SOURCE
#include <stdlib.h>

#include "shim.h"

/* The text is always an argument, never the format: it may hold what a client sent. */
void eximrbl_log_main(const char *line)
{
  if (log_write)
    log_write(0, EXIM_LOG_MAIN, "%s", line);
}

void eximrbl_debug(const char *line)
{
  if (debug_printf)
    debug_printf("%s\n", line);
}

exim_bool eximrbl_is_debugging(void)
{
  return &debug_selector && debug_selector != 0;
}

exim_bool eximrbl_is_host_checking(void)
{
  return &host_checking && host_checking;
}

const char *eximrbl_environment(const char *name)
{
  return secure_getenv(name);
}
