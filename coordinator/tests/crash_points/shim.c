/* Records what a program does to the files under one directory, and makes one operation fail; preloaded into children.
 *
 *   CRASH_ROOT   the directory
 *   CRASH_TRACE  where the records go
 *   CRASH_MARKS  a file outside: what is written to it becomes a record of its own and is stored nowhere
 *   CRASH_FAULT  "<number of the operation> <eio | enospc | short>", from 1; absent: none
 *
 * An operation is what changes or syncs a file or a directory. Each has a number; opening and closing have none. A
 * record is written once its operation is done, so one that failed leaves only the record of its fault.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FILES_MAX = 1024 };
enum fault { NONE, INPUT_OUTPUT, NO_SPACE, SHORT };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static const char *root, *marks;
static int trace = -1;
static uint64_t operations, fault_at;
static enum fault fault_kind;
static int is_full;            /* After NO_SPACE: nothing takes room any more. */
static char *paths[FILES_MAX]; /* Of what is open under the directory. */

static void die(const char *what, const char *path) {
    fprintf(stderr, "crash shim: %s %s is not recorded\n", what, path ? path : "");
    abort();
}

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) die("the symbol", name);
    return found;
}

static void start(void) {
    const char *path = getenv("CRASH_TRACE"), *fault = getenv("CRASH_FAULT");
    root = getenv("CRASH_ROOT");
    marks = getenv("CRASH_MARKS");
    if (!path || !root || !marks) return;
    trace = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (trace < 0) die("the trace", path);
    if (!fault) return;
    char kind[16] = "";
    if (sscanf(fault, "%lu %15s", &fault_at, kind) != 2) die("the fault", fault);
    fault_kind = !strcmp(kind, "eio") ? INPUT_OUTPUT : !strcmp(kind, "enospc") ? NO_SPACE : SHORT;
}

static void lock(void) {
    pthread_once(&once, start);
    pthread_mutex_lock(&mutex);
}

static void unlock(void) {
    int kept = errno;
    pthread_mutex_unlock(&mutex);
    errno = kept;
}

static int is_inside(const char *path) {
    if (trace < 0 || !path) return 0;
    size_t len = strlen(root);
    return !strncmp(path, root, len) && (path[len] == '/' || path[len] == 0);
}

static const char *opened(int fd) {
    return trace >= 0 && fd >= 0 && fd < FILES_MAX ? paths[fd] : NULL;
}

/* kind, number of the descriptor, offset or length, path, data; numbers are little-endian, as on every machine we know. */
static void record(char kind, int fd, uint64_t offset, const char *path, const void *data, size_t len) {
    struct __attribute__((packed)) { char kind; int32_t fd; uint64_t offset; uint32_t path_len, len; } head = {
        kind, fd, offset, path ? strlen(path) : 0, len};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)path, head.path_len}, {(void *)data, len}};
    int kept = errno;
    if (REAL(writev)(trace, parts, 3) != (ssize_t)(sizeof head + head.path_len + len)) die("the trace of", path);
    errno = kept;
}

/* Counts an operation; says whether it has to fail. */
static enum fault count(char kind, const char *path, int takes_room) {
    if (++operations == fault_at) {
        record('!', 0, operations, path, &kind, 1);
        is_full = fault_kind == NO_SPACE && takes_room;
        return fault_kind;
    }
    return is_full && takes_room ? NO_SPACE : NONE;
}

/* The same for operations that are done or not, and never in part. */
static int refuses(char kind, const char *path, int takes_room) {
    enum fault fault = count(kind, path, takes_room);
    if (fault == INPUT_OUTPUT) errno = EIO;
    if (fault == NO_SPACE) errno = ENOSPC;
    return fault == INPUT_OUTPUT || fault == NO_SPACE;
}

static int exists(const char *path) {
    struct stat found;
    return !lstat(path, &found);
}

static uint64_t size(int fd) {
    struct stat found;
    return fstat(fd, &found) ? 0 : (uint64_t)found.st_size;
}

static int open_any(const char *path, int flags, mode_t mode) {
    lock();
    int fd = -1, inside = is_inside(path), is_marks = trace >= 0 && !strcmp(path, marks);
    int makes = inside && (flags & O_CREAT) && !exists(path);
    if (inside && (flags & O_TMPFILE) == O_TMPFILE) die("O_TMPFILE", path);
    if (makes && refuses('c', path, 1)) goto done;
    int cuts = inside && !makes && (flags & O_TRUNC);
    if (cuts && refuses('f', path, 0)) goto done;
    fd = REAL(open)(path, flags, mode);
    if (fd < 0 || !(inside || is_marks)) goto done;
    if (fd >= FILES_MAX) die("one file too many:", path);
    paths[fd] = strdup(path);
    if (inside) record(makes ? 'c' : 'o', fd, 0, path, NULL, 0);
    if (cuts) record('f', fd, 0, path, NULL, 0);
done:
    unlock();
    return fd;
}

#define MODE(flags) ({ \
    va_list rest; va_start(rest, flags); \
    mode_t mode = (flags) & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; va_end(rest); mode; })

int open(const char *path, int flags, ...) { return open_any(path, flags, MODE(flags)); }
int open64(const char *path, int flags, ...) { return open_any(path, flags, MODE(flags)); }
int creat(const char *path, mode_t mode) { return open_any(path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

static int open_at(int dir, const char *path, int flags, mode_t mode) {
    lock();
    if (is_inside(path) || opened(dir)) die("openat", path);
    unlock();
    return REAL(openat)(dir, path, flags, mode);
}
int openat(int dir, const char *path, int flags, ...) { return open_at(dir, path, flags, MODE(flags)); }
int openat64(int dir, const char *path, int flags, ...) { return open_at(dir, path, flags, MODE(flags)); }

int close(int fd) {
    lock();
    if (opened(fd)) {
        record('x', fd, 0, paths[fd], NULL, 0);
        free(paths[fd]);
        paths[fd] = NULL;
    }
    int result = REAL(close)(fd);
    unlock();
    return result;
}

static ssize_t write_any(int fd, const void *data, size_t len, off_t at, int is_positioned) {
    lock();
    const char *path = opened(fd);
    ssize_t result = -1;
    if (!path) {
        unlock();
        return is_positioned ? REAL(pwrite)(fd, data, len, at) : REAL(write)(fd, data, len);
    }
    if (!strcmp(path, marks)) {
        record('m', fd, 0, path, data, len);
        unlock();
        return len;
    }
    if (!is_positioned) at = REAL(fcntl)(fd, F_GETFL) & O_APPEND ? (off_t)size(fd) : lseek(fd, 0, SEEK_CUR);
    enum fault fault = count('w', path, 1);
    if (fault == SHORT && len > 1) len /= 2;
    if (fault == NO_SPACE) len = operations == fault_at ? len / 2 : 0; /* What still fits, and then nothing. */
    if (fault == INPUT_OUTPUT || !len) {
        errno = fault == INPUT_OUTPUT ? EIO : ENOSPC;
    } else {
        result = is_positioned ? REAL(pwrite)(fd, data, len, at) : REAL(write)(fd, data, len);
        if (result > 0) record('w', fd, at, path, data, result);
    }
    unlock();
    return result;
}

ssize_t write(int fd, const void *data, size_t len) { return write_any(fd, data, len, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t len, off_t at) { return write_any(fd, data, len, at, 1); }
ssize_t pwrite64(int fd, const void *data, size_t len, off_t at) { return write_any(fd, data, len, at, 1); }

static int truncate_any(int fd, off_t len) {
    lock();
    const char *path = opened(fd);
    int result = -1;
    if (!path || !refuses('f', path, len > (off_t)size(fd))) result = REAL(ftruncate)(fd, len);
    if (path && !result) record('f', fd, len, path, NULL, 0);
    unlock();
    return result;
}
int ftruncate(int fd, off_t len) { return truncate_any(fd, len); }
int ftruncate64(int fd, off_t len) { return truncate_any(fd, len); }

static int sync_any(int fd, int (*sync)(int)) {
    lock();
    const char *path = opened(fd);
    int result = -1;
    /* The disk under the test keeps nothing through a loss of power anyway; the trace says what was synced. */
    if (!path) result = sync(fd);
    else if (!refuses('s', path, 0)) result = 0;
    if (path && !result) record('s', fd, 0, path, NULL, 0);
    unlock();
    return result;
}
int fsync(int fd) { return sync_any(fd, REAL(fsync)); }
int fdatasync(int fd) { return sync_any(fd, REAL(fdatasync)); }

int rename(const char *from, const char *to) {
    lock();
    int inside = is_inside(from) || is_inside(to), result = -1;
    if (inside && !(is_inside(from) && is_inside(to))) die("rename across the border of", from);
    if (!inside || !exists(from) || !refuses('r', to, 0)) result = REAL(rename)(from, to);
    if (inside && !result) record('r', 0, 0, from, to, strlen(to));
    unlock();
    return result;
}

int unlink(const char *path) {
    lock();
    int inside = is_inside(path), result = -1;
    if (!inside || !exists(path) || !refuses('u', path, 0)) result = REAL(unlink)(path);
    if (inside && !result) record('u', 0, 0, path, NULL, 0);
    unlock();
    return result;
}

int mkdir(const char *path, mode_t mode) {
    lock();
    int inside = is_inside(path), result = -1;
    if (!inside || exists(path) || !refuses('d', path, 1)) result = REAL(mkdir)(path, mode);
    if (inside && !result) record('d', 0, 0, path, NULL, 0);
    unlock();
    return result;
}

/* What nothing under test does today; the trace must not miss it when it begins to. */
#define NOT_FOR_FILES(type, name, parameters, ...) \
    type name parameters { \
        lock(); \
        if (opened(fd)) die(__func__, opened(fd)); \
        unlock(); \
        return REAL(name)(__VA_ARGS__); \
    }
NOT_FOR_FILES(ssize_t, writev, (int fd, const struct iovec *parts, int n), fd, parts, n)
NOT_FOR_FILES(ssize_t, pwritev, (int fd, const struct iovec *parts, int n, off_t at), fd, parts, n, at)
NOT_FOR_FILES(ssize_t, pwritev64, (int fd, const struct iovec *parts, int n, off64_t at), fd, parts, n, at)
NOT_FOR_FILES(int, fallocate, (int fd, int mode, off_t at, off_t len), fd, mode, at, len)
NOT_FOR_FILES(int, fallocate64, (int fd, int mode, off64_t at, off64_t len), fd, mode, at, len)
NOT_FOR_FILES(int, posix_fallocate, (int fd, off_t at, off_t len), fd, at, len)
NOT_FOR_FILES(int, posix_fallocate64, (int fd, off64_t at, off64_t len), fd, at, len)
NOT_FOR_FILES(int, dup, (int fd), fd)

#define NOT_INSIDE(name, path, parameters, ...) \
    int name parameters { \
        lock(); \
        if (is_inside(path)) die(__func__, path); \
        unlock(); \
        return REAL(name)(__VA_ARGS__); \
    }
NOT_INSIDE(link, to, (const char *from, const char *to), from, to)
NOT_INSIDE(symlink, to, (const char *from, const char *to), from, to)
NOT_INSIDE(rmdir, path, (const char *path), path)
NOT_INSIDE(truncate, path, (const char *path, off_t len), path, len)
NOT_INSIDE(truncate64, path, (const char *path, off64_t len), path, len)
NOT_INSIDE(unlinkat, path, (int dir, const char *path, int flags), dir, path, flags)
NOT_INSIDE(mkdirat, path, (int dir, const char *path, mode_t mode), dir, path, mode)
NOT_INSIDE(renameat, to, (int a, const char *from, int b, const char *to), a, from, b, to)
NOT_INSIDE(renameat2, to, (int a, const char *from, int b, const char *to, unsigned flags), a, from, b, to, flags)

/* SQLite shares memory through `-shm`, which it makes anew after a crash; every other file is written by calls. */
static void check_map(int protection, int flags, int fd) {
    lock();
    const char *path = opened(fd), *shm = path ? strstr(path, "-shm") : NULL;
    if (path && (flags & MAP_SHARED) && (protection & PROT_WRITE) && !(shm && !shm[4])) die("mmap", path);
    unlock();
}
void *mmap(void *start, size_t len, int protection, int flags, int fd, off_t at) {
    if (fd >= 0) check_map(protection, flags, fd);
    return REAL(mmap)(start, len, protection, flags, fd, at);
}
void *mmap64(void *start, size_t len, int protection, int flags, int fd, off64_t at) {
    if (fd >= 0) check_map(protection, flags, fd);
    return REAL(mmap)(start, len, protection, flags, fd, at);
}
