/* gpu/counters.py on a log of Nsight Compute that was recorded on an H100: cases of N = 128 and 300, two heads. */
#include "check_tilewise.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static bool have_python(void)
{
    return system("command -v python3 >/dev/null 2>&1") == 0;
}

/* What a command prints on both streams, and its exit status. */
static int run(char *text, size_t size, const char *command)
{
    char both[600];
    snprintf(both, sizeof both, "%s 2>&1", command);
    FILE *pipe = popen(both, "r");
    ck_assert_ptr_nonnull(pipe);
    size_t used = fread(text, 1, size - 1, pipe);
    text[used] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int count_lines(const char *text)
{
    int lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

START_TEST(test_recorded_log)
{
    static const char *const rows[] = {
        /* NOLINTNEXTLINE(bugprone-suspicious-missing-comma): the first row is long */
        "\nalgorithm,machine,batch,num_heads,num_heads_kv,seqlen_q,seqlen_k,head_dim,dtype,causal,block_m,"
        "block_n,"
        "kernel,fill_bytes,drain_bytes,l2_request_bytes,hbm_read_bytes,hbm_write_bytes,sm_cycles,gpu_time_"
        "us\n",
        /* three launches summed */
        "\nstandard_tiled,h100,1,2,2,300,300,64,fp16,0,64,64,00_standard,1881600,825600,",
        /* tw_init_flash1 left out: 2Nd + Tc (2Nd of 2 bytes + 2N of 4) a head */
        "\nflash1,h100,1,2,2,128,128,64,fp16,0,128,128,10_flash1,133120,34816,",
        "\nflash2,h100,1,2,2,128,128,64,fp16,0,128,128,20_flash2,98304,33792,132096,",
        "\n# command: counters.py --parse tests/data/ncu_log.txt tests/data/ncu_cases.csv\n",
    };
    char text[8192];
    if (!have_python()) {
        printf("check_gpu_counters: python3 is not here, gpu/counters.py was not run\n");
        return;
    }
    int code = run(text, sizeof text,
                   "gpu/counters.py --parse tests/data/ncu_log.txt tests/data/ncu_cases.csv");
    ck_assert_msg(code == 0, "%s", text);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_msg(strstr(text, rows[i]) != NULL, "missing '%s' in:\n%s", rows[i], text);
    ck_assert_int_eq(count_lines(text), 6 + 1 + 8);
}
END_TEST

/* Everything that cannot work: one line, exit status 2, no file. */
static const struct {
    const char *arguments, *says;
} refused[] = {
    {"--parse tests/data/ncu_log.txt tests/data/nowhere.csv", "No such file"},
    {"--parse tests/data/ncu_cases.csv tests/data/ncu_cases.csv", "no table"},
    {"--seqlen 128", "--csv FILE is missing"},
    {"--csv", "--csv needs a value"},
    {"--csv tests", "is a folder"},
    {"--csv build-x.csv --replay often", "--replay is 'often'"},
    {"--csv build-x.csv --start cold", "--start is 'cold'"},
    {"--csv nowhere/x.csv", "folder does not exist"},
    {"--csv build-x.csv --ncu no-such-ncu", "'no-such-ncu' is not there"},
    {"--csv build-x.csv --ncu true --program no-such-program", "'no-such-program' is not there"},
    {"--csv build-x.csv --ncu true --program true", "ncu ran nothing"},
};

START_TEST(test_refused)
{
    char text[4096], command[400];
    if (!have_python())
        return;
    snprintf(command, sizeof command, "gpu/counters.py %s", refused[_i].arguments);
    int code = run(text, sizeof text, command);
    ck_assert_msg(code == 2 && count_lines(text) == 1, "exit %d: %s", code, text);
    ck_assert_msg(strstr(text, refused[_i].says) != NULL, "%s", text);
    ck_assert_int_ne(remove("build-x.csv"), 0);
}
END_TEST

/* Stands in for an ncu that may not read counters. */
START_TEST(test_not_permitted)
{
    char text[4096];
    if (!have_python())
        return;
    FILE *script = fopen("build/ncu-refused", "w");
    ck_assert_ptr_nonnull(script);
    fputs("#!/bin/sh\necho '==ERROR== ERR_NVGPUCTRPERM - The user does not have permission'\n", script);
    fclose(script);
    ck_assert_int_eq(system("chmod +x build/ncu-refused"), 0);
    int code = run(text, sizeof text,
                   "gpu/counters.py --csv build-x.csv --ncu build/ncu-refused --program true");
    ck_assert_int_eq(code, 2);
    ck_assert_int_eq(count_lines(text), 1);
    ck_assert_ptr_nonnull(strstr(text, "as root"));
    ck_assert_ptr_nonnull(strstr(text, "tilewise-gpu bench"));
    ck_assert_int_eq(remove("build/ncu-refused"), 0);
}
END_TEST

/* Stands in for ncu: keeps what it was told, and has seen one case of two launches, of which one prepares. */
static const char warm_ncu[] = "#!/bin/sh\n"
                               "echo \"$*\" > build/ncu-warm.arguments\n"
                               "while [ $# -gt 0 ]; do\n"
                               "    case $1 in --log-file) log=$2 ;; --csv) cases=$2 ;; esac\n"
                               "    shift\n"
                               "done\n"
                               "printf '#\\nalgorithm,kernel\\nflash2,20_flash2\\n' > \"$cases\"\n"
                               "cat > \"$log\" <<'END'\n"
                               "\"ID\",\"Kernel Name\",\"dram__bytes_read.sum\",\"dram__bytes_write.sum\"\n"
                               "\"\",\"\",\"byte\",\"byte\"\n"
                               "\"0\",\"tw_init_case()\",\"2,560\",\"0\"\n"
                               "\"1\",\"tw_init_flash1()\",\"5\",\"7\"\n"
                               "\"2\",\"flash2()\",\"80,384\",\"64\"\n"
                               "END\n";

/* A warm start: caches are not touched, HBM's counters alone are asked for, the rows say how they began. */
START_TEST(test_warm)
{
    char text[4096], said[2048];
    if (!have_python())
        return;
    FILE *script = fopen("build/ncu-warm", "w");
    ck_assert_ptr_nonnull(script);
    fputs(warm_ncu, script);
    fclose(script);
    ck_assert_int_eq(system("chmod +x build/ncu-warm"), 0);
    int code = run(
        text, sizeof text,
        "gpu/counters.py --csv build/warm.csv --ncu build/ncu-warm --program true --start warm --d 7");
    ck_assert_msg(code == 0 && *text == '\0', "exit %d: %s", code, text);
    ck_assert_int_eq(run(text, sizeof text, "tail -n 2 build/warm.csv"), 0);
    ck_assert_str_eq(text, "algorithm,kernel,start,hbm_read_bytes,hbm_write_bytes\n"
                           "flash2,20_flash2,warm,80384,64\n");
    ck_assert_int_eq(run(said, sizeof said, "cat build/ncu-warm.arguments"), 0);
    ck_assert_ptr_nonnull(strstr(said, " --cache-control none "));
    ck_assert_ptr_nonnull(strstr(said, " --metrics dram__bytes_read.sum,dram__bytes_write.sum "));
    ck_assert_ptr_nonnull(strstr(said, " --warm --d 7\n"));
    ck_assert_int_eq(system("rm build/ncu-warm build/ncu-warm.arguments build/warm.csv"), 0);
}
END_TEST

Suite *tw_suite_gpu_counters(void)
{
    Suite *suite = suite_create("gpu_counters");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 30);
    tcase_add_test(core, test_recorded_log);
    tcase_add_test(core, test_warm);
    suite_add_tcase(suite, core);
    TCase *errors = tcase_create("errors");
    tcase_set_timeout(errors, 30);
    tcase_add_loop_test(errors, test_refused, 0, (int)(sizeof refused / sizeof refused[0]));
    tcase_add_test(errors, test_not_permitted);
    suite_add_tcase(suite, errors);
    return suite;
}
