/* A disk whose syncs take as long as a test says, while the program runs: for tests/crash/power_disk.py.

   LD_PRELOAD this with SLOW_DISK, a file of three 64-bit numbers that the test maps too: microseconds that a
   sync takes besides its own time (changed at will, also for those under way), syncs begun, syncs ended. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct disk {
    _Atomic int64_t delay, begun, ended;
};
static struct disk *disk;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("SLOW_DISK");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *there = mmap(NULL, sizeof *disk, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (there != MAP_FAILED)
        disk = there;
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static int slow(long number, int fd)
{
    if (!disk)
        return syscall(number, fd);
    int64_t start = now(), left;
    disk->begun++;
    while ((left = start + disk->delay - now()) > 0) {
        if (left > 20000)
            left = 20000; /* look again whether the test has changed its mind */
        struct timespec t = {0, left * 1000};
        nanosleep(&t, NULL);
    }
    int result = syscall(number, fd);
    disk->ended++;
    return result;
}

int fsync(int fd) { return slow(SYS_fsync, fd); }
int fdatasync(int fd) { return slow(SYS_fdatasync, fd); }
