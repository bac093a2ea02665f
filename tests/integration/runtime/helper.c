/* What the test containers run: one static program, one verb a behaviour. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void on_term(int number) { (void)number; _exit(7); }

static int copy(int from, int to) {
    char buffer[65536];
    ssize_t count;
    while ((count = read(from, buffer, sizeof buffer)) > 0)
        if (write(to, buffer, count) != count) return 1;
    return count < 0;
}

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    return 1;
}

static int show(const char *path) {
    int file = open(path, O_RDONLY);
    return file < 0 ? fail(path) : copy(file, 1);
}

static int list(const char *path) {
    DIR *directory = opendir(path);
    if (!directory) return fail(path);
    struct dirent *entry;
    while ((entry = readdir(directory))) printf("%s\n", entry->d_name);
    return 0;
}

static int put(const char *path, const char *text) {
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file < 0) return fail(path);
    return write(file, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : 1;
}

static int size(void) {
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        struct winsize found = {0};
        if (ioctl(0, TIOCGWINSZ, &found) < 0) return fail("TIOCGWINSZ");
        printf("%dx%d\n", found.ws_col, found.ws_row);
        fflush(stdout);
    }
    return 0;
}

int main(int count, char **words) {
    const char *verb = count > 1 ? words[1] : "";
    if (!strcmp(verb, "echo")) {
        for (int i = 2; i < count; i++) printf("%s%s", words[i], i + 1 < count ? " " : "\n");
    } else if (!strcmp(verb, "both")) {
        puts("to stdout"), fflush(stdout), fputs("to stderr\n", stderr);
        printf("no newline");
    } else if (!strcmp(verb, "exit")) {
        return atoi(words[2]);
    } else if (!strcmp(verb, "serve")) {
        signal(SIGTERM, on_term);
        puts("serving"), fflush(stdout);
        for (;;) pause();
    } else if (!strcmp(verb, "stubborn")) {
        signal(SIGTERM, SIG_IGN);
        puts("serving"), fflush(stdout);
        for (;;) pause();
    } else if (!strcmp(verb, "alloc")) {
        size_t bytes = (size_t)atoi(words[2]) << 20;
        char *memory = malloc(bytes);
        for (size_t at = 0; memory && at < bytes; at += 4096) memory[at] = 1;
        puts("allocated");
    } else if (!strcmp(verb, "cat")) {
        return copy(0, 1);
    } else if (!strcmp(verb, "spam")) {
        int lines = atoi(words[2]), width = atoi(words[3]);
        for (int i = 0; i < lines; i++) printf("%08d %*s\n", i, width, "x");
    } else if (!strcmp(verb, "size")) {
        return size();
    } else if (!strcmp(verb, "show")) {
        return show(words[2]);
    } else if (!strcmp(verb, "list")) {
        return list(words[2]);
    } else if (!strcmp(verb, "put")) {
        return put(words[2], words[3]);
    } else if (!strcmp(verb, "env")) {
        for (char **one = environ; *one; one++) puts(*one);
    } else if (!strcmp(verb, "hostname")) {
        char name[65] = {0};
        gethostname(name, 64), puts(name);
    } else if (!strcmp(verb, "unshare")) {
        return unshare(CLONE_NEWUSER) < 0 ? fail("unshare") : 0;
    } else if (!strcmp(verb, "tty")) {
        return isatty(0) ? 0 : 1;
    } else {
        fprintf(stderr, "unknown verb %s\n", verb);
        return 2;
    }
    return 0;
}
