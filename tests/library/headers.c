/* Compares our declarations with Exim's own (Debian: exim4-dev). It is compiled, never run. */

#define DLFUNC_IMPL
#include <local_scan.h>

/* Included second: a declaration of ours that conflicts with Exim's is an error by itself. */
#include "dlfunc.h"

#define SAME_TYPE(a, b) __builtin_types_compatible_p(a, b)

_Static_assert(SAME_TYPE(exim_uschar, uschar), "exim_uschar is not uschar");
_Static_assert(SAME_TYPE(exim_bool, BOOL), "exim_bool is not BOOL");
_Static_assert(SAME_TYPE(exim_dlfunc, exim_dlfunc_t), "exim_dlfunc is not exim_dlfunc_t");
_Static_assert(EXIM_OK == OK, "EXIM_OK");
_Static_assert(EXIM_DEFER == DEFER, "EXIM_DEFER");
_Static_assert(EXIM_FAIL == FAIL, "EXIM_FAIL");
_Static_assert(EXIM_ERROR == ERROR, "EXIM_ERROR");
_Static_assert(EXIM_FAIL_FORCED == FAIL_FORCED, "EXIM_FAIL_FORCED");
_Static_assert(EXIM_LOG_MAIN == LOG_MAIN, "EXIM_LOG_MAIN");
_Static_assert(EXIM_LOG_PANIC == LOG_PANIC, "EXIM_LOG_PANIC");
_Static_assert(EXIM_LOG_REJECT == LOG_REJECT, "EXIM_LOG_REJECT");
_Static_assert(SAME_TYPE(__typeof__(host_checking), BOOL), "host_checking");
_Static_assert(SAME_TYPE(__typeof__(debug_selector), unsigned int), "debug_selector");
