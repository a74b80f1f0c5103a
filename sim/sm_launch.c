/* One launch on the SM that has most to do: its blocks are recorded, and played. */
#include "sm_launch.h"

#include <stdlib.h>

/* Programs of a launch: blocks that are alike have one. */
typedef struct programs {
    tw_program *all;
    tw_block_index *of; /* the block that each was recorded from */
    int count;
    const tw_program **queue; /* in the order in which the SM takes them */
    int queued;
} programs;

static bool is_last_of(int index, int64_t length, int block)
{
    return block > 0 && ((int64_t)index + 1) * block >= length;
}

/* The first splits have a tile more than the others, where they are not all equal. */
static bool has_one_more(const tw_play *play, int split)
{
    int64_t tiles = ((int64_t)play->problem->seqlen_k + play->tiling->block_n - 1) / play->tiling->block_n;
    return split < tiles % play->problem->num_splits;
}

/* Two blocks take the same steps. */
static bool alike(const tw_play *play, const tw_sm_work *work, tw_block_index a, tw_block_index b)
{
    const tw_problem *p = play->problem;
    const tw_launch *launch = &play->schedule->launches[play->launch];
    if (!work->all_alike || launch->grid_i == TW_AXIS_SHARES)
        return a.i == b.i && a.j == b.j;
    bool rows = launch->grid_i != TW_AXIS_Q_TILES || is_last_of(a.i, p->seqlen_q, play->tiling->block_m) ==
                                                         is_last_of(b.i, p->seqlen_q, play->tiling->block_m);
    bool cols = launch->grid_j != TW_AXIS_K_TILES || is_last_of(a.j, p->seqlen_k, play->tiling->block_n) ==
                                                         is_last_of(b.j, p->seqlen_k, play->tiling->block_n);
    if (launch->grid_j == TW_AXIS_SPLITS)
        cols = has_one_more(play, a.j) == has_one_more(play, b.j);
    return rows && cols;
}

static tw_status record(programs *list, const tw_play *play, const tw_sm_work *work, tw_block_index b)
{
    for (int i = list->count; i-- > 0;) {
        if (alike(play, work, list->of[i], b)) {
            list->queue[list->queued++] = &list->all[i];
            return TW_OK;
        }
    }
    TW_TRY(tw_program_append(&list->all[list->count], play, &b, 1));
    list->of[list->count] = b;
    list->queue[list->queued++] = &list->all[list->count++];
    return TW_OK;
}

static bool is_persistent(const tw_build *build)
{
    return build->deal == TW_DEAL_STRIDE || build->deal == TW_DEAL_SNAKE || build->deal == TW_DEAL_DYNAMIC;
}

static tw_status record_all(programs *list, const tw_play *play, const tw_sm_work *work, int num_blocks)
{
    size_t room = (size_t)num_blocks + 1;
    list->all = calloc(room, sizeof *list->all);
    list->of = calloc(room, sizeof *list->of);
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): a list of pointers */
    list->queue = calloc(room, sizeof *list->queue);
    if (!list->all || !list->of || !list->queue)
        return tw_fail(TW_ENOMEM, "no memory for the work of an SM, %d blocks", num_blocks);
    if (is_persistent(play->build)) {
        list->queue[0] = &list->all[0];
        list->count = list->queued = 1;
        return tw_program_append(&list->all[0], play, work->blocks, num_blocks);
    }
    for (int i = 0; i < num_blocks; i++)
        TW_TRY(record(list, play, work, work->blocks[i]));
    return TW_OK;
}

static void free_programs(programs *list)
{
    for (int i = 0; i < list->count; i++)
        tw_program_free(&list->all[i]);
    free(list->all);
    free(list->of);
    free(list->queue);
}

/* The first `num_blocks` of the SM's blocks. */
static tw_status play_blocks(tw_clock_result *result, const tw_play *play, const tw_sm_work *work,
                             int num_blocks, const tw_clock_observer *observer)
{
    programs list = {.all = NULL};
    tw_status status = record_all(&list, play, work, num_blocks);
    if (status == TW_OK)
        status = tw_clock_play(result, play, list.queue, list.queued, tw_play_blocks(play), observer);
    free_programs(&list);
    return status;
}

/* a + share · (b - a), number by number. */
static void lengthen(tw_clock_result *result, const tw_clock_result *a, const tw_clock_result *b,
                     double share)
{
    double *to = (double *)result;
    const double *x = (const double *)a, *y = (const double *)b;
    for (size_t i = 0; i < sizeof *result / sizeof(double); i++)
        to[i] = x[i] + share * (y[i] - x[i]);
}

/* Rounds of blocks after which an SM goes on as it has begun: written bytes that wait in the L2 must have filled it. */
static int rounds_to_play(const tw_play *play, const tw_sm_work *work, tw_status *status)
{
    enum { FEWEST = 3, MOST = 48, STEPS = 6000 };
    tw_program one = {.steps = NULL};
    *status = tw_program_append(&one, play, work->blocks, 1);
    int steps = one.num_steps * one.lanes * tw_play_blocks(play), rounds = steps > 0 ? STEPS / steps : FEWEST;
    tw_program_free(&one);
    return rounds < FEWEST ? FEWEST : rounds > MOST ? MOST : rounds;
}

/* Blocks that are alike go on as they began: some rounds of them are played, and the rest is as long as the last. */
tw_status tw_launch_play(tw_clock_result *result, const tw_play *play, const tw_sm_work *work)
{
    tw_status status;
    int round = tw_play_blocks(play), all = work->num_blocks, over = all % round;
    int some = rounds_to_play(play, work, &status) * round;
    TW_TRY(status);
    if (!work->all_alike || all <= 2 * some + over)
        return play_blocks(result, play, work, all, NULL);
    tw_clock_result few, more;
    TW_TRY(play_blocks(&few, play, work, some + over, NULL));
    TW_TRY(play_blocks(&more, play, work, 2 * some + over, NULL));
    lengthen(result, &few, &more, (double)(all - some - over) / some);
    return TW_OK;
}

tw_status tw_launch_watch(const tw_play *play, const tw_sm_work *work, int num_blocks,
                          const tw_clock_observer *observer)
{
    tw_clock_result result;
    int count = num_blocks < work->num_blocks ? num_blocks : work->num_blocks;
    return play_blocks(&result, play, work, count, observer);
}
