/*
 * The last program before the student's: it gives up every right, sets limits, and becomes the command.
 *
 *     tilewise-confine UID CPU_SECONDS MEMORY_BYTES PROCESSES FILE_BYTES ROOT COMMAND…
 *
 * UID 0 keeps the user (bubblewrap has changed it already); ROOT "-" keeps the root folder. Linked statically, so that
 * it runs where there is nothing else. Exits 125 if any of it fails: then the command does not run at all.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FAILED = 125 };

static int fail(const char *what)
{
    perror(what);
    return FAILED;
}

static int limit(__rlimit_resource_t resource, const char *value)
{
    rlim_t n = (rlim_t)strtoull(value, NULL, 10);
    struct rlimit both = {n, n};
    return setrlimit(resource, &both);
}

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#endif

/* No network, no looking into other processes: these calls fail with EPERM. Another ABI's calls end the process. */
static int filter_calls(void)
{
#ifdef THIS_ARCH
#define DENY(call)                                                                                           \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (call), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1)
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCH, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#ifdef __x86_64__
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000u, 0, 1), /* x32: the same calls by other numbers */
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
#endif
        DENY(SYS_socket),
        DENY(SYS_ptrace),
        DENY(SYS_process_vm_readv),
        DENY(SYS_process_vm_writev),
        DENY(SYS_unshare),
        DENY(SYS_setns),
        DENY(SYS_mount),
        DENY(SYS_keyctl),
        DENY(SYS_bpf),
        DENY(SYS_io_uring_setup),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
#else
    return 0;
#endif
}

/* Another user, whom nobody else is. Where high numbers do not exist (containers), a low one. */
static int become(unsigned long uid)
{
    unsigned long low = 40000 + uid % 20000;
    if (setgroups(0, NULL) != 0)
        return -1;
    if (setgid((gid_t)uid) == 0 && setuid((uid_t)uid) == 0)
        return 0;
    return setgid((gid_t)low) != 0 || setuid((uid_t)low) != 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
    if (argc < 8)
        return FAILED;
    unsigned long uid = strtoul(argv[1], NULL, 10);
    if (strcmp(argv[6], "-") != 0 && (chroot(argv[6]) != 0 || chdir("/") != 0))
        return fail("chroot");
    if (uid != 0 && become(uid) != 0)
        return fail("cannot become another user");
    if (uid != 0 && setuid(0) == 0)
        return fail("still able to become root");
    if (limit(RLIMIT_CPU, argv[2]) || limit(RLIMIT_AS, argv[3]) || limit(RLIMIT_NPROC, argv[4]) ||
        limit(RLIMIT_FSIZE, argv[5]) || limit(RLIMIT_CORE, "0") || limit(RLIMIT_NOFILE, "64") ||
        limit(RLIMIT_MSGQUEUE, "0"))
        return fail("setrlimit");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || filter_calls() != 0)
        return fail("prctl");
    execv(argv[7], argv + 7);
    return fail(argv[7]);
}
