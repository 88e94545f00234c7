/* Put in front of libc (LD_PRELOAD): every shared mapping of a file gets 16 GiB of address space on
 * both sides that nobody may touch. A read or write outside the mapping, however far off, then ends
 * the program by SIGSEGV, instead of finding whatever happens to lie there.
 *
 * AddressSanitizer can't tell: it guards what the allocator gives, and a mapping is none of that.
 *
 * A file named by EXIMRBL_GUARDED is made when a mapping was guarded, so that a test can see that
 * the program under test did not get around it. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GUARD ((size_t)16 << 30)
#define PAGE ((size_t)4096)

static void tell(void)
{
  const char *path = getenv("EXIMRBL_GUARDED");
  int file = path ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666) : -1;
  if (file >= 0)
    close(file);
}

static void *map(void *where, size_t length, int access, int flags, int file, off_t offset)
{
  char *space;
  void *mapped;
  if (file < 0 || !(flags & MAP_SHARED) || (flags & MAP_FIXED))
    return (void *)syscall(SYS_mmap, where, length, access, flags, file, offset);
  space = (char *)syscall(SYS_mmap, NULL, GUARD + length + PAGE + GUARD, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (space == MAP_FAILED)
    return MAP_FAILED;
  mapped = (void *)syscall(SYS_mmap, space + GUARD, length, access, flags | MAP_FIXED, file, offset);
  if (mapped == MAP_FAILED) {
    int why = errno;
    syscall(SYS_munmap, space, GUARD + length + PAGE + GUARD);
    errno = why;
  } else
    tell();
  return mapped;
}

void *mmap(void *where, size_t length, int access, int flags, int file, off_t offset)
{
  return map(where, length, access, flags, file, offset);
}

void *mmap64(void *where, size_t length, int access, int flags, int file, off_t offset)
{
  return map(where, length, access, flags, file, offset);
}
