#include "cli/out_file.h"

#include "io/file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = PATH_MAX };

enum err out_file_check(struct str path, struct diag *diag)
{
    char name[PATH_BYTES], folder[PATH_BYTES];
    struct stat there;
    if (!path.n || str_eq(path, STR("-")))
        return ERR_NONE;
    if (path.n >= sizeof name)
        return file_failure(diag, "the name of a file to write", ENAMETOOLONG);
    snprintf(name, sizeof name, STR_FMT, STR_ARG(path));
    if (stat(name, &there) == 0) {
        if (S_ISDIR(there.st_mode))
            return file_failure(diag, name, EISDIR);
        return access(name, W_OK) == 0 ? ERR_NONE : file_failure(diag, name, errno);
    }
    size_t n = path.n;
    while (n > 0 && path.p[n - 1] != '/')
        n--;
    snprintf(folder, sizeof folder, "%s" STR_FMT, n ? "" : ".", (int)n, path.p);
    return access(folder, W_OK | X_OK) == 0 ? ERR_NONE : file_failure(diag, name, errno);
}

enum err out_file_write(struct str path, struct str text, struct diag *diag)
{
    char name[PATH_BYTES];
    bool to_stdout = str_eq(path, STR("-"));
    enum err e = out_file_check(path, diag);
    if (e)
        return e;
    snprintf(name, sizeof name, STR_FMT, STR_ARG(path));
    FILE *f = to_stdout ? stdout : fopen(name, "w");
    if (!f)
        return file_failure(diag, name, errno);
    if (fwrite(text.p ? text.p : "", 1, text.n, f) != text.n || fflush(f) != 0)
        e = file_failure(diag, name, errno);
    if (!to_stdout && fclose(f) != 0 && !e)
        e = file_failure(diag, name, errno);
    return e;
}
