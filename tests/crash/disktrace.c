/* Preloaded into a test process: writes down every change that it makes to files under a directory,
 * in order, and makes chosen calls fail as a broken disk does.
 *
 * DISKTRACE_ROOT  the directory            DISKTRACE_LOG  where the record goes ("" or unset: none)
 *
 * A record: struct head, then the path (below the root), then the data of a write.
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
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { CREATE = 1, WRITE, TRUNCATE, SYNC, UNLINK };
struct head { uint32_t op, path; uint64_t offset, length; };
#define FILES 4096

static char root[4096];
static size_t root_length;
static int record = -1;
static char *names[FILES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int fault_op, fault_after, fault_errno, fault_times;

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

__attribute__((constructor)) static void begin(void) {
    const char *where = getenv("DISKTRACE_ROOT"), *log = getenv("DISKTRACE_LOG");
    if (!where) return;
    snprintf(root, sizeof root, "%s/", where);
    root_length = strlen(root);
    if (log && *log) record = REAL(open)(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* From the after-th call of kind op on, times calls fail with the given errno. */
void disktrace_fault(int op, int after, int error, int times) {
    fault_op = op; fault_after = after; fault_errno = error; fault_times = times;
}

static int faulty(int op) {
    if (op != fault_op || fault_times <= 0) return 0;
    if (fault_after > 0) { fault_after--; return 0; }
    fault_times--;
    errno = fault_errno;
    return 1;
}

static void put(int op, const char *name, uint64_t offset, const void *data, uint64_t length) {
    if (record < 0) return;
    struct head head = {op, strlen(name), offset, length};
    ssize_t (*out)(int, const void *, size_t) = REAL(write);
    if (out(record, &head, sizeof head) < 0 || out(record, name, head.path) < 0) abort();
    if (data && out(record, data, length) < 0) abort();
}

static const char *below(const char *path) {
    return root_length && !strncmp(path, root, root_length) ? path + root_length : NULL;
}

static const char *name_of(int fd) { return fd >= 0 && fd < FILES ? names[fd] : NULL; }

static void opened(int fd, const char *path, int fresh) {
    const char *name = below(path);
    if (fd < 0 || fd >= FILES || !name) return;
    free(names[fd]);
    names[fd] = strdup(name);
    if (fresh) put(CREATE, name, 0, NULL, 0);
}

#define OPEN(function)                                                          \
    int function(const char *path, int flags, ...) {                            \
        mode_t mode = 0;                                                        \
        if (flags & O_CREAT) {                                                  \
            va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); \
        }                                                                       \
        pthread_mutex_lock(&lock);                                              \
        int fresh = below(path) && (flags & O_CREAT) && access(path, F_OK);     \
        int fd = REAL(function)(path, flags, mode);                             \
        opened(fd, path, fresh);                                                \
        pthread_mutex_unlock(&lock);                                            \
        return fd;                                                              \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    pthread_mutex_lock(&lock);
    if (name_of(fd)) { free(names[fd]); names[fd] = NULL; }
    pthread_mutex_unlock(&lock);
    return REAL(close)(fd);
}

ssize_t write(int fd, const void *data, size_t length) {
    const char *name = name_of(fd);
    if (!name) return REAL(write)(fd, data, length);
    pthread_mutex_lock(&lock);
    ssize_t done = -1;
    if (!faulty(WRITE)) {
        off_t at = lseek(fd, 0, SEEK_CUR);
        if (fcntl(fd, F_GETFL) & O_APPEND) at = lseek(fd, 0, SEEK_END);
        done = REAL(write)(fd, data, length);
        if (done > 0) put(WRITE, name, at, data, done);
    }
    pthread_mutex_unlock(&lock);
    return done;
}

#define PWRITE(function, type)                                                  \
    ssize_t function(int fd, const void *data, size_t length, type at) {        \
        const char *name = name_of(fd);                                         \
        if (!name) return REAL(function)(fd, data, length, at);                 \
        pthread_mutex_lock(&lock);                                              \
        ssize_t done = -1;                                                      \
        if (!faulty(WRITE)) {                                                   \
            done = REAL(function)(fd, data, length, at);                        \
            if (done > 0) put(WRITE, name, at, data, done);                     \
        }                                                                       \
        pthread_mutex_unlock(&lock);                                            \
        return done;                                                            \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define TRUNC(function, type)                                                   \
    int function(int fd, type length) {                                         \
        const char *name = name_of(fd);                                         \
        if (!name) return REAL(function)(fd, length);                           \
        pthread_mutex_lock(&lock);                                              \
        int done = faulty(TRUNCATE) ? -1 : REAL(function)(fd, length);          \
        if (!done) put(TRUNCATE, name, 0, NULL, length);                        \
        pthread_mutex_unlock(&lock);                                            \
        return done;                                                            \
    }
TRUNC(ftruncate, off_t)
TRUNC(ftruncate64, off64_t)

#define SYNCS(function)                                                         \
    int function(int fd) {                                                      \
        const char *name = name_of(fd);                                         \
        if (!name) return REAL(function)(fd);                                   \
        pthread_mutex_lock(&lock);                                              \
        int done = faulty(SYNC) ? -1 : REAL(function)(fd);                      \
        if (!done) put(SYNC, name, 0, NULL, 0);                                 \
        pthread_mutex_unlock(&lock);                                            \
        return done;                                                            \
    }
SYNCS(fsync)
SYNCS(fdatasync)

int unlink(const char *path) {
    pthread_mutex_lock(&lock);
    int done = REAL(unlink)(path);
    if (!done && below(path)) put(UNLINK, below(path), 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return done;
}
