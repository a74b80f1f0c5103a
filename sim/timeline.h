/**
 * @file timeline.h
 * @brief Who was at what, and when, on one SM: recorded from the clock, as pictures and files show it.
 */
#ifndef TW_TIMELINE_H
#define TW_TIMELINE_H

#include "contenders.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What is to be seen. */
typedef struct tw_timeline_view {
    int launch;     /**< of a kernel that has several */
    int first_tile; /**< of keys, in the SM's first query tile */
    int num_tiles;
    bool one_block; /**< of those that share the SM, the first alone */
} tw_timeline_view;

/** Spans, and a window of time. */
typedef struct tw_timeline {
    const char *name;
    char shape[400];   /**< lengths, heads, number format, mask, tiles: what it is a timeline of */
    char machine[256]; /**< its name and description */
    double clock_hz;   /**< of the SM, as predicted */
    double begin, end; /**< the window, cycles */
    int num_places;    /**< blocks on the SM that are seen */
    tw_span *spans;    /**< by place, agent, lane, begin; pieces of one product are one span; owned */
    size_t count, capacity;
    bool no_memory;
} tw_timeline;

/**
 * @brief Plays the first blocks of the SM with most to do; the window is the tiles that are to be seen.
 * @param[in] contender  predicted already
 * @return TW_OK; TW_EINVAL (a launch or a tile that there is not); TW_ENOMEM; as tw_predict_watch()
 */
TW_MUST_CHECK tw_status tw_timeline_record(tw_timeline *timeline, const tw_contender *contender,
                                           const tw_machine *machine, const tw_timeline_view *view);

/** @brief Makes all windows as long as the longest, and leaves out what is not in them. */
void tw_timeline_cut(tw_timeline *timelines, int count);

void tw_timeline_free(tw_timeline *timeline);

/** "producer", "consumer 0", "warps 1": who the spans of an agent and a lane belong to. */
void tw_timeline_agent_name(char *text, size_t size, const tw_span *span);

/** "S = Q K^T", "load K", "softmax". */
const char *tw_timeline_step_name(const tw_span *span);

/**
 * @brief Writes a script for gnuplot that draws timelines, one below the other, on one scale: agents in lanes, pipes below.
 *
 * A title, the shape (over each panel, where they differ) and whose prediction it is stand with it, so that the picture can
 * be read by itself. The script holds its data; it draws to stdout, as SVG or as PNG.
 */
void tw_timeline_script(FILE *out, const tw_timeline *timelines, int count, bool png);

/** @brief Draws with gnuplot; NULL: nothing. @return TW_OK; TW_EIO (no gnuplot, or it failed; the file is then not there) */
TW_MUST_CHECK tw_status tw_timeline_draw(const char *path, const tw_timeline *timelines, int count, bool png);

/** @brief Writes trace events for Perfetto (ui.perfetto.dev); NULL: none. @return TW_OK; TW_EIO; TW_ENOMEM */
TW_MUST_CHECK tw_status tw_timeline_json(const char *path, const tw_timeline *timelines, int count);

#ifdef __cplusplus
}
#endif

#endif
