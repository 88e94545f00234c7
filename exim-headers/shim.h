/* What the Rust side calls of Exim, without weak symbols and variadic arguments. */

#ifndef EXIMRBL_SHIM_H
#define EXIMRBL_SHIM_H

#include "dlfunc.h"

/* Writes one line to Exim's main log; does nothing where there is no Exim. */
void eximrbl_log_main(const char *line);

/* Writes one line to Exim's debugging output (`exim -d`); the newline is added. */
void eximrbl_debug(const char *line);

/* Whether eximrbl_debug would write anything. */
exim_bool eximrbl_is_debugging(void);

/* Whether Exim plays a session for a test (`exim -bh`), of which nothing may stay. */
exim_bool eximrbl_is_host_checking(void);

/* secure_getenv(3): null when the variable is not set, and in a process that runs with more rights
 * than the user who started it. */
const char *eximrbl_environment(const char *name);

#endif
