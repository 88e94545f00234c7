/* Maps a file, and reads one byte that lies so many bytes after (or before) the mapping's start:
 * shows that the guard works. */

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
  struct stat found;
  int file = argc == 3 ? open(argv[1], O_RDONLY) : -1;
  if (file < 0 || fstat(file, &found) != 0)
    return 2;
  volatile char *mapped = mmap(NULL, (size_t)found.st_size, PROT_READ, MAP_SHARED, file, 0);
  if (mapped == MAP_FAILED)
    return 3;
  (void)mapped[atoll(argv[2])];
  return 0;
}
