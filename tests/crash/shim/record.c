/* Records, in order, what a process does to the files of one folder: for tests/crash/power.py.

   LD_PRELOAD this with RECORD_FOLDER (absolute) and RECORD_TO set. Each entry of the record is five numbers
   (operation, descriptor, offset, length, bytes that follow) and those bytes; power.py reads them. A lock is
   held over the call and its entry, so that the order of the record is the order of the calls. Writes through
   a memory map are not seen; power.py compares the record with the files at the end, so that none is missed. */

#define _GNU_SOURCE
#undef _FORTIFY_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, WRITE, TRUNCATE, SYNC, CLOSE, RENAME, UNLINK, ALLOCATE };
#define DESCRIPTORS 4096

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static char folder[4096];
static size_t folder_length;
static int record = -1;
static unsigned char watched[DESCRIPTORS]; /* 1: of our folder, 2: appends */

__attribute__((constructor)) static void begin(void)
{
    const char *where = getenv("RECORD_FOLDER"), *to = getenv("RECORD_TO");
    if (!where || !to || strlen(where) >= sizeof folder)
        return;
    strcpy(folder, where);
    folder_length = strlen(folder);
    record = syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void note(int64_t what, int64_t fd, int64_t at, int64_t length, const void *bytes, size_t count)
{
    int64_t head[5] = {what, fd, at, length, (int64_t)count};
    struct iovec parts[2] = {{head, sizeof head}, {(void *)bytes, count}};
    int kept = errno;
    if (syscall(SYS_writev, record, parts, 2) != (long)(sizeof head + count))
        abort(); /* a record with holes proves nothing */
    errno = kept;
}

static int ours(const char *path)
{
    return record >= 0 && strncmp(path, folder, folder_length) == 0 &&
           (path[folder_length] == '/' || path[folder_length] == 0);
}

static int is_watched(int fd) { return record >= 0 && fd >= 0 && fd < DESCRIPTORS && watched[fd]; }

static int opened(int at, const char *path, int flags, mode_t mode)
{
    pthread_mutex_lock(&turn);
    int fd = syscall(SYS_openat, at, path, flags | O_LARGEFILE, mode);
    if (fd >= 0 && fd < DESCRIPTORS) {
        watched[fd] = 0;
        if (ours(path)) {
            watched[fd] = flags & O_APPEND ? 2 : 1;
            note(OPEN, fd, flags & O_TRUNC ? 1 : 0, 0, path, strlen(path));
        }
    }
    pthread_mutex_unlock(&turn);
    return fd;
}

#define MODE(flags)                                                                                            \
    mode_t mode = 0;                                                                                           \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                                     \
        va_list rest;                                                                                          \
        va_start(rest, flags);                                                                                 \
        mode = va_arg(rest, mode_t);                                                                           \
        va_end(rest);                                                                                          \
    }

int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }
int __open_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }

int close(int fd)
{
    pthread_mutex_lock(&turn);
    if (is_watched(fd)) {
        watched[fd] = 0;
        note(CLOSE, fd, 0, 0, NULL, 0);
    }
    int result = syscall(SYS_close, fd);
    pthread_mutex_unlock(&turn);
    return result;
}

ssize_t write(int fd, const void *bytes, size_t count)
{
    if (!is_watched(fd))
        return syscall(SYS_write, fd, bytes, count);
    pthread_mutex_lock(&turn);
    off64_t at = lseek64(fd, 0, watched[fd] == 2 ? SEEK_END : SEEK_CUR);
    ssize_t done = syscall(SYS_write, fd, bytes, count);
    if (done > 0)
        note(WRITE, fd, at, done, bytes, done);
    pthread_mutex_unlock(&turn);
    return done;
}

static ssize_t placed(int fd, const void *bytes, size_t count, off64_t at)
{
    pthread_mutex_lock(&turn);
    ssize_t done = syscall(SYS_pwrite64, fd, bytes, count, at);
    if (done > 0 && is_watched(fd))
        note(WRITE, fd, at, done, bytes, done);
    pthread_mutex_unlock(&turn);
    return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { return placed(fd, bytes, count, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) { return placed(fd, bytes, count, at); }

static int cut(int fd, off64_t length)
{
    pthread_mutex_lock(&turn);
    int result = syscall(SYS_ftruncate, fd, length);
    if (result == 0 && is_watched(fd))
        note(TRUNCATE, fd, 0, length, NULL, 0);
    pthread_mutex_unlock(&turn);
    return result;
}

int ftruncate(int fd, off_t length) { return cut(fd, length); }
int ftruncate64(int fd, off64_t length) { return cut(fd, length); }

static int reserve(int fd, off64_t at, off64_t length)
{
    pthread_mutex_lock(&turn);
    int result = syscall(SYS_fallocate, fd, 0, at, length);
    if (result == 0 && is_watched(fd))
        note(ALLOCATE, fd, at, length, NULL, 0);
    pthread_mutex_unlock(&turn);
    return result;
}

int fallocate(int fd, int mode, off_t at, off_t length) { return mode ? (errno = EOPNOTSUPP, -1) : reserve(fd, at, length); }
int fallocate64(int fd, int mode, off64_t at, off64_t length) { return fallocate(fd, mode, at, length); }
int posix_fallocate(int fd, off_t at, off_t length) { return reserve(fd, at, length) ? errno : 0; }
int posix_fallocate64(int fd, off64_t at, off64_t length) { return reserve(fd, at, length) ? errno : 0; }

static int synced(int fd, long number)
{
    pthread_mutex_lock(&turn);
    int result = syscall(number, fd);
    if (result == 0 && is_watched(fd))
        note(SYNC, fd, 0, 0, NULL, 0);
    pthread_mutex_unlock(&turn);
    return result;
}

int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

int rename(const char *from, const char *to)
{
    pthread_mutex_lock(&turn);
    int result = syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
    if (result == 0 && ours(from)) {
        char both[2 * sizeof folder];
        size_t one = strlen(from) + 1, two = strlen(to);
        if (one + two > sizeof both)
            abort();
        memcpy(both, from, one);
        memcpy(both + one, to, two);
        note(RENAME, 0, 0, 0, both, one + two);
    }
    pthread_mutex_unlock(&turn);
    return result;
}

int unlink(const char *path)
{
    pthread_mutex_lock(&turn);
    int result = syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (result == 0 && ours(path))
        note(UNLINK, 0, 0, 0, path, strlen(path));
    pthread_mutex_unlock(&turn);
    return result;
}
