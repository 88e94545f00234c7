/* The least that a library could do at its first call: open a file, map it, add one to a word. */

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int bare_record(const char *path)
{
  struct stat about;
  int file = open(path, O_RDWR | O_CLOEXEC);
  if (file < 0 || fstat(file, &about) != 0)
    return 1;
  void *words = mmap(NULL, (size_t)about.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (words == MAP_FAILED)
    return 1;
  atomic_fetch_add((_Atomic unsigned long *)words + about.st_size / 16, 1);
  return 0;
}
