/**
 * @file status.h
 * @brief How a function says that it failed: a code to act on, a line to show.
 *
 * Library functions never print and never exit. They return a tw_status; what
 * was wrong, with the value and what would be right, is left as one line in
 * tw_error_message() by tw_fail().
 */
#ifndef TW_STATUS_H
#define TW_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/** @def TW_MUST_CHECK
 * Before a function whose status may not be dropped: the compiler warns.
 * @def TW_PRINTF
 * Behind a function that takes a format as printf does: the compiler checks it. */
#if defined(__GNUC__)
#define TW_MUST_CHECK         __attribute__((warn_unused_result))
#define TW_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#else
#define TW_MUST_CHECK
#define TW_PRINTF(fmt, first)
#endif

/** Result of every function that can fail. 0 is success, failures are negative. */
typedef enum tw_status {
    TW_OK = 0,            /**< done */
    TW_EINVAL = -1,       /**< an argument has no meaning: a size <= 0, heads that do not divide */
    TW_EOVERFLOW = -2,    /**< the sizes are legal, but a product of them does not fit 63 bits */
    TW_ENOMEM = -3,       /**< memory, of the host or of the GPU, is not enough */
    TW_EIO = -4,          /**< a file cannot be opened, read or written */
    TW_EFORMAT = -5,      /**< a file was read, but it is not what it should be */
    TW_ESRAM = -6,        /**< the tiles do not fit on chip */
    TW_EUNSUPPORTED = -7, /**< meaningful, but this kernel or back end does not do it */
    TW_ESCHEDULE = -8,    /**< a schedule breaks a rule of the tile language */
    TW_EMISMATCH = -9,    /**< compared, and found to disagree */
    TW_EGPU = -10         /**< no GPU, or a CUDA call failed */
} tw_status;

/** The code's name, "TW_EINVAL"; static storage, never NULL. */
const char *tw_status_name(tw_status status);

/**
 * @brief The line left by the last failure in this thread; "" if there was none.
 *
 * One line without a newline, at most 511 bytes. Valid until the next failure.
 */
const char *tw_error_message(void);

/**
 * @brief Leaves a formatted line for tw_error_message() and returns the code.
 *
 * For `return tw_fail(TW_EINVAL, "head_dim is %d, it must be at least 1", d);`
 */
TW_MUST_CHECK tw_status tw_fail(tw_status status, const char *format, ...) TW_PRINTF(2, 3);

/** Returns from the calling function if a call failed; the line stays as it was left. */
#define TW_TRY(call)                                                                                         \
    do {                                                                                                     \
        tw_status tw_try_status_ = (call);                                                                   \
        if (tw_try_status_ != TW_OK)                                                                         \
            return tw_try_status_;                                                                           \
    } while (0)

#ifdef __cplusplus
}
#endif

#endif
