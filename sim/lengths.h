/**
 * @file lengths.h
 * @brief Lengths of sequences and documents, typed or from files, as offsets.
 */
#ifndef TW_LENGTHS_H
#define TW_LENGTHS_H

#include "../cpu_ref/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @brief Whole numbers from 0 up: a list such as 0,100,350, or a .npy file of one axis.
 * @param[out] values  owned by the caller: free(); untouched on error, like count
 * @return TW_OK; TW_EFORMAT (a file of more axes, or of other numbers); as tw_parse_numbers(), tw_npy_read_integers()
 */
TW_MUST_CHECK tw_status tw_lengths_read(int **values, int *count, const char *what, const char *text);

/**
 * @brief Offsets of documents: from their lengths, 100,50 being 0,100,150, or from a file with the number of each key's
 *        document, 7,7,7,9 being 0,3,4.
 * @param[out] offsets  count + 1 numbers, owned by the caller: free()
 * @return as tw_lengths_read(); TW_EOVERFLOW (lengths add up to more than an int); TW_EFORMAT (a file of another
 *         number of keys than seqlen_k, or whose numbers go back)
 */
TW_MUST_CHECK tw_status tw_documents_read(int **offsets, int *count, const char *text, int seqlen_k);

#ifdef __cplusplus
}
#endif

#endif
