/* What a softmax step does that depends on its data: when m moves on, and which exponentials are by polynomial. */
#include "../cpu_ref/exp2_polynomial.h"
#include "../cpu_ref/online_softmax.h"
#include "numeric_executor.h"

#include <math.h>

static const double LOG2_E = 1.4426950408889634;

/* What a lazy row takes its exponentials against: the maximum that it has, until the row outgrows it by too much. */
double tw_executor_lazy_reference(tw_executor *x, const tw_emitter *e, double m, double m_new)
{
    bool begun = m > -INFINITY, stays = begun && (m_new - m) * LOG2_E <= e->tiling->rescale_log2;
    x->stats.later_row_steps += begun;
    x->stats.rows_rescaled += begun && !stays;
    return stays ? m : m_new;
}

/* e^(s − m) of a row. A share of the columns, spread evenly, is by polynomial where numbers are rounded as on a GPU. */
void tw_executor_exponentials(tw_executor *x, const tw_emitter *e, const tw_op *op, double *s, double m,
                              int n)
{
    double share = op->lazy && x->rounding == TW_ROUND_AS_GPU ? e->tiling->poly_share : 0.0;
    for (int j = 0; j < n; j++) {
        double exact;
        tw_online_exp(&exact, &s[j], m, 1);
        bool by_polynomial = floor((j + 1) * share) > floor(j * share) && exact > 0.0;
        if (by_polynomial) {
            s[j] = tw_exp2_polynomial((float)((s[j] - m) * LOG2_E), e->tiling->poly_degree);
            x->stats.exps_by_polynomial++;
            x->stats.polynomial_error = fmax(x->stats.polynomial_error, fabs(s[j] - exact) / exact);
        } else {
            s[j] = exact;
        }
        x->stats.exps++;
    }
}
