/* Counts the calls by which a program changes files below a folder, and breaks the n-th: the process is killed, or the call fails.
 *
 * CAMPAIGN_ROOT    the folder
 * CAMPAIGN_CALLS   which calls count: write, sync, rename, open, unlink, mkdir, truncate; several by commas
 * CAMPAIGN_AT      the number of the call of its kind that is broken, from 1; 0 only counts
 * CAMPAIGN_ERROR   the error number, 0 for a kill, -1 for a pause of CAMPAIGN_PAUSE microseconds at every call
 * CAMPAIGN_STICKY  1 if all later calls fail too, as on a disk that is full
 * CAMPAIGN_COUNT   where the counts of all kinds are written at the end
 *
 * A write that is broken writes half of its bytes first.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { WRITE, SYNC, RENAME, OPEN, UNLINK, MKDIR, TRUNCATE, KINDS };

static const char *names[KINDS] = {"write", "sync", "rename", "open", "unlink", "mkdir", "truncate"};
static const char *root, *calls;
static long at, pause_us;
static int error, sticky;
static long count[KINDS];

__attribute__((constructor)) static void begin(void) {
    root = getenv("CAMPAIGN_ROOT");
    calls = getenv("CAMPAIGN_CALLS");
    const char *text = getenv("CAMPAIGN_AT");
    at = text ? atol(text) : 0;
    text = getenv("CAMPAIGN_ERROR");
    error = text ? atoi(text) : 0;
    text = getenv("CAMPAIGN_PAUSE");
    pause_us = text ? atol(text) : 0;
    text = getenv("CAMPAIGN_STICKY");
    sticky = text && *text == '1';
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((destructor)) static void finish(void) {
    const char *path = getenv("CAMPAIGN_COUNT");
    if (!path) return;
    int file = REAL(open64)(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file < 0) return;
    for (int kind = 0; kind < KINDS; kind++) {
        char text[64];
        int length = snprintf(text, sizeof text, "%s %ld\n", names[kind], count[kind]);
        if (REAL(write)(file, text, length) != length) break;
    }
    close(file);
}

static int counts(enum kind kind) { return root && calls && strstr(calls, names[kind]); }

static int is_below(const char *path) {
    char whole[PATH_MAX * 2];
    if (path[0] != '/') {
        char here[PATH_MAX];
        if (!getcwd(here, sizeof here)) return 0;
        snprintf(whole, sizeof whole, "%s/%s", here, path);
        path = whole;
    }
    return strncmp(path, root, strlen(root)) == 0;
}

static int is_file_below(int file) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return path[0] == '/' && is_below(path);
}

/* Whether this call is the one that is broken. Does not return where the process is killed. */
static int is_broken(enum kind kind, int kill_now) {
    long number = __atomic_add_fetch(&count[kind], 1, __ATOMIC_SEQ_CST);
    if (error == -1) {
        usleep(pause_us);
        return 0;
    }
    if (at <= 0 || (sticky ? number < at : number != at)) return 0;
    if (error == 0 && kill_now) kill(getpid(), SIGKILL);
    return 1;
}

static int fails(void) {
    errno = error;
    return -1;
}

ssize_t write(int file, const void *bytes, size_t length) {
    if (file > 2 && counts(WRITE) && is_file_below(file) && is_broken(WRITE, 0)) {
        ssize_t half = length > 1 ? REAL(write)(file, bytes, length / 2) : 0;
        if (error == 0) kill(getpid(), SIGKILL);
        (void)half;
        return fails();
    }
    return REAL(write)(file, bytes, length);
}

ssize_t writev(int file, const struct iovec *parts, int number) {
    if (file > 2 && counts(WRITE) && is_file_below(file) && is_broken(WRITE, 1)) return fails();
    return REAL(writev)(file, parts, number);
}

ssize_t copy_file_range(int from, off64_t *at_from, int to, off64_t *at_to, size_t length, unsigned flags) {
    if (counts(WRITE) && is_file_below(to) && is_broken(WRITE, 1)) return fails();
    return REAL(copy_file_range)(from, at_from, to, at_to, length, flags);
}

int fsync(int file) {
    if (counts(SYNC) && is_file_below(file) && is_broken(SYNC, 1)) return fails();
    return REAL(fsync)(file);
}

int fdatasync(int file) {
    if (counts(SYNC) && is_file_below(file) && is_broken(SYNC, 1)) return fails();
    return REAL(fdatasync)(file);
}

int rename(const char *from, const char *to) {
    if (counts(RENAME) && is_below(to) && is_broken(RENAME, 1)) return fails();
    return REAL(rename)(from, to);
}

int unlink(const char *path) {
    if (counts(UNLINK) && is_below(path) && is_broken(UNLINK, 1)) return fails();
    return REAL(unlink)(path);
}

int unlinkat(int folder, const char *path, int flags) {
    if (counts(UNLINK) && (path[0] == '/' ? is_below(path) : is_file_below(folder)) && is_broken(UNLINK, 1)) return fails();
    return REAL(unlinkat)(folder, path, flags);
}

int mkdir(const char *path, mode_t mode) {
    if (counts(MKDIR) && is_below(path) && is_broken(MKDIR, 1)) return fails();
    return REAL(mkdir)(path, mode);
}

int ftruncate64(int file, off64_t length) {
    if (counts(TRUNCATE) && is_file_below(file) && is_broken(TRUNCATE, 1)) return fails();
    return REAL(ftruncate64)(file, length);
}

static int opens(const char *path, int flags) { return (flags & O_ACCMODE) != O_RDONLY && counts(OPEN) && is_below(path) && is_broken(OPEN, 1); }

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (opens(path, flags)) return fails();
    return REAL(open64)(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (opens(path, flags)) return fails();
    return REAL(open)(path, flags, mode);
}
