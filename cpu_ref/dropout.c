/* Dropout by counter: any piece of any row of the mask, in any order. */
#include "dropout.h"

#include "philox.h"

bool tw_dropout_is_on(const tw_dropout *dropout)
{
    return dropout->probability > 0.0;
}

double tw_dropout_scale(const tw_dropout *dropout)
{
    return 1.0 / (1.0 - dropout->probability);
}

void tw_dropout_row(double *z, const tw_dropout *dropout, int batch, int head, int row, int first_column,
                    int n)
{
    uint32_t word[4] = {0}, threshold = tw_philox_dropout_threshold(dropout->probability);
    double scale = tw_dropout_scale(dropout);
    for (int j = 0; j < n; j++) {
        int column = first_column + j;
        if (j == 0 || column % 4 == 0)
            tw_philox_dropout_words(word, dropout->seed, batch, head, row, column / 4);
        z[j] = word[column % 4] < threshold ? 0.0 : scale;
    }
}

void tw_dropout_apply(double *x, const tw_dropout *dropout, int batch, int head, int row, int first_column,
                      int n)
{
    enum { PIECE = 64 };
    double z[PIECE];
    for (int begin = 0; begin < n && tw_dropout_is_on(dropout); begin += PIECE) {
        int length = n - begin < PIECE ? n - begin : PIECE;
        tw_dropout_row(z, dropout, batch, head, row, first_column + begin, length);
        for (int j = 0; j < length; j++)
            x[begin + j] *= z[j];
    }
}

void tw_dropout_row_float(float *z, const tw_dropout *dropout, int batch, int head, int row, int first_column,
                          int n)
{
    enum { PIECE = 64 };
    double piece[PIECE];
    for (int begin = 0; begin < n; begin += PIECE) {
        int length = n - begin < PIECE ? n - begin : PIECE;
        tw_dropout_row(piece, dropout, batch, head, row, first_column + begin, length);
        for (int j = 0; j < length; j++)
            z[begin + j] = (float)piece[j];
    }
}

tw_status tw_dropout_check(const tw_dropout *dropout)
{
    if (!(dropout->probability >= 0.0 && dropout->probability < 1.0))
        return tw_fail(TW_EINVAL, "dropout is %g, it must be at least 0 and below 1", dropout->probability);
    return TW_OK;
}
