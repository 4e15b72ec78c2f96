(* Gradient descent converges to the gradient flow as the learning rate goes to 0, with an explicit bound.

   The field G need not be a gradient here. What is needed:
     - the flow w' = - G(w) exists on [0, T]                                              (H2)
     - along it |G| <= M
     - in a tube of radius rho around it G is Lipschitz as seen from the path             (H1)
     - the horizon T stays fixed: learning rate eps, N steps, N eps <= T < (N + 1) eps    (H5)
   Then, as soon as eps is small enough for the right side to stay within the tube,
        |w_N - w(N eps)| <= eps M / 2 (exp(Lam T) - 1).
   How: the error of one step is at most Lam M eps^2 / 2, and errors grow by 1 + eps Lam a step.

   Carries: T1b (and step P2). *)
From Coq Require Import Reals Lra Lia List.
From mathcomp Require Import ssreflect.
From Coquelicot Require Import Coquelicot.
From PathKernel Require Import FundamentalTheorem Euclidean.
Open Scope R_scope.

(* gradient descent with learning rate eps, from v *)
Fixpoint descent {n : nat} (G : Vec n -> Vec n) (eps : R) (v : Vec n) (k : nat) : Vec n :=
  match k with O => v | S j => minus (descent G eps v j) (scal eps (G (descent G eps v j))) end.

(* ---------------------------------------------------------------- three lemmas *)

(* The mean value inequality for curves: |h'| <= phi' implies |h(b) - h(a)| <= phi(b) - phi(a). *)
Lemma mean_value_inequality {n : nat} (h dh : R -> Vec n) (phi dphi : R -> R) a b :
  a <= b ->
  (forall t, a <= t <= b -> is_derive h t (dh t)) -> (forall t, a <= t <= b -> is_derive phi t (dphi t)) ->
  (forall t, a <= t <= b -> norm (dh t) <= dphi t) ->
  norm (minus (h b) (h a)) <= phi b - phi a.
Proof.
intros Hab Hh Hphi Hle. set (u := minus (h b) (h a)).
(* along u, seen from the side of phi *)
set (g := fun s => norm u * phi s - dot u (h s)).
assert (Hg : forall t, a <= t <= b -> is_derive g t (norm u * dphi t - dot u (dh t))).
{ intros t Ht. apply (is_derive_minus (fun s => norm u * phi s) (fun s => dot u (h s))).
  - apply (is_derive_scal phi); auto.
  - apply P3_chain_rule; [auto|]. apply filterdiff_linear, dot_linear. }
destruct (mean_value g (fun t => norm u * dphi t - dot u (dh t)) a b) with (x := a) (y := b) as [c [Hc E]]; try lra.
- apply continuous_continuous_on; intros t Ht.
  apply (ex_derive_continuous (K := R_AbsRing) (V := R_NormedModule)). eexists; apply Hg; lra.
- intros t Ht; apply Hg; lra.
- assert (Hpos : 0 <= norm u * dphi c - dot u (dh c)).
  { pose proof (Rle_trans _ _ _ (Rle_abs _) (Cauchy_Schwarz u (dh c))).
    pose proof (Rmult_le_compat_l (norm u) _ _ (norm_ge_0 u) (Hle c Hc)). lra. }
  assert (Hgab : norm u * norm u <= norm u * (phi b - phi a)).
  { pose proof (Rmult_le_pos (b - a) _ ltac:(lra) Hpos) as Hinc. rewrite <- E in Hinc. unfold g in Hinc.
    assert (En : norm u * norm u = dot u (h b) - dot u (h a)).
    { rewrite -dot_minus_r. change (minus (h b) (h a)) with u. rewrite -norm_sq; ring. }
    lra. }
  destruct (Req_dec (norm u) 0) as [Z|NZ].
  + rewrite Z. destruct (mean_value phi dphi a b) with (x := a) (y := b) as [d [Hd E']]; try lra.
    * apply continuous_continuous_on; intros t Ht.
      apply (ex_derive_continuous (K := R_AbsRing) (V := R_NormedModule)). eexists; apply Hphi; lra.
    * intros t Ht; apply Hphi; lra.
    * rewrite E'. apply Rmult_le_pos; [lra|]. apply Rle_trans with (2 := Hle d Hd). apply norm_ge_0.
  + apply Rmult_le_reg_l with (norm u); [|exact Hgab]. pose proof (norm_ge_0 u). lra.
Qed.

Lemma exp_le x y : x <= y -> exp x <= exp y.
Proof. intros [H|H]; [left; now apply exp_increasing|rewrite H; lra]. Qed.

Lemma pow_le_exp x k : 0 <= x -> (1 + x) ^ k <= exp (INR k * x).
Proof.
intros Hx. induction k as [|k IH]; [rewrite Rmult_0_l exp_0; simpl; lra|].
replace (INR (S k) * x) with (x + INR k * x) by (rewrite S_INR; ring). rewrite exp_plus -tech_pow_Rmult.
apply Rmult_le_compat; [lra|apply pow_le; lra| |exact IH].
destruct (Req_dec x 0) as [Z|Z]; [rewrite Z exp_0; lra|left; now apply exp_ineq1].
Qed.

(* (g - eps p) - q, split into what one step does to the old error and the error of the step itself *)
Lemma split_error {A : AbelianGroup} (g a p b q : A) :
  minus (minus g a) q = plus (minus (minus g p) (minus a b)) (opp (minus q (minus p b))).
Proof.
unfold minus. rewrite !opp_plus !opp_opp -!plus_assoc; f_equal.
rewrite (plus_comm (opp p)) -!plus_assoc; f_equal.
rewrite (plus_comm b) -!plus_assoc.
now rewrite (plus_assoc (opp b) (opp p)) (plus_comm (opp b) (opp p)) -(plus_assoc (opp p)) plus_opp_l
  plus_zero_r plus_opp_r plus_zero_r.
Qed.

(* ---------------------------------------------------------------- the bound *)

Section Convergence.
Context {n : nat}.
Variables (G : Vec n -> Vec n) (w : R -> Vec n) (T M Lam rho : R).
Hypothesis HT : 0 < T.
Hypothesis H2 : forall t, 0 <= t <= T -> is_derive w t (opp (G (w t))).
Hypothesis speed : forall t, 0 <= t <= T -> norm (G (w t)) <= M.
Hypothesis HLam : 0 <= Lam.
Hypothesis Hrho : 0 < rho.
Hypothesis tube : forall t v, 0 <= t <= T -> norm (minus v (w t)) <= rho ->
  norm (minus (G v) (G (w t))) <= Lam * norm (minus v (w t)).

Definition error_bound (eps : R) : R := eps * M / 2 * (exp (Lam * T) - 1).

Lemma M_ge_0 : 0 <= M.
Proof. apply Rle_trans with (norm (G (w 0))); [apply norm_ge_0|apply speed; lra]. Qed.

Lemma path_Lipschitz s t : 0 <= t <= s -> s <= T -> norm (minus (w s) (w t)) <= M * (s - t).
Proof.
intros Ht Hs. replace (M * (s - t)) with (M * s - M * t) by ring.
apply (mean_value_inequality w (fun r => opp (G (w r))) (fun r => M * r) (fun _ => M)); [lra| | |].
- intros r Hr; apply H2; lra.
- intros r _; auto_derive; trivial; ring.
- intros r Hr; rewrite norm_opp; apply speed; lra.
Qed.

Lemma error_of_one_step t eps : 0 <= t -> 0 <= eps -> t + eps <= T -> M * eps <= rho ->
  norm (minus (w (t + eps)) (minus (w t) (scal eps (G (w t))))) <= Lam * M * eps ^ 2 / 2.
Proof.
intros Ht He HtT Hr. assert (HM := M_ge_0).
set (h := fun s : R => plus (w s) (scal (s - t) (G (w t)))).
assert (Hh : forall s, t <= s <= t + eps -> is_derive h s (minus (G (w t)) (G (w s)))).
{ intros s Hs. unfold minus. rewrite plus_comm. apply (is_derive_plus w (fun s : R => scal (s - t) (G (w t)))).
  - apply H2; lra.
  - assert (H := is_derive_scal_l (fun s : R => s - t) s 1 (G (w t))).
    rewrite (scal_one (K := R_AbsRing)) in H. apply H. auto_derive; trivial; ring. }
assert (E : norm (minus (h (t + eps)) (h t))
            <= Lam * M * (t + eps - t) ^ 2 / 2 - Lam * M * (t - t) ^ 2 / 2).
{ apply (mean_value_inequality h _ (fun s => Lam * M * (s - t) ^ 2 / 2) (fun s => Lam * (M * (s - t))) t (t + eps)
           ltac:(lra) Hh).
  - intros s _. auto_derive; trivial; field.
  - intros s Hs. rewrite -norm_opp opp_minus.
    assert (L := path_Lipschitz s t ltac:(lra) ltac:(lra)).
    assert (M * (s - t) <= M * eps) by (apply Rmult_le_compat_l; lra).
    apply Rle_trans with (Lam * norm (minus (w s) (w t))).
    + apply tube; lra.
    + apply Rmult_le_compat_l; lra. }
replace (minus (w (t + eps)) (minus (w t) (scal eps (G (w t))))) with (minus (h (t + eps)) (h t)).
- apply Rle_trans with (1 := E). right; field.
- unfold h. replace (t + eps - t) with eps by ring.
  replace (t - t) with (zero : R) by (unfold zero; simpl; ring).
  rewrite (scal_zero_l (K := R_Ring)) plus_zero_r.
  unfold minus. rewrite opp_plus opp_opp plus_assoc -!plus_assoc. f_equal. apply plus_comm.
Qed.

(* the error after k steps, before the power is bounded by an exponential *)
Let growing eps k := eps * M / 2 * ((1 + eps * Lam) ^ k - 1).

Lemma growing_le eps k : 0 < eps -> INR k * eps <= T -> growing eps k <= error_bound eps.
Proof.
intros He Hk. unfold growing, error_bound. assert (HM := M_ge_0).
apply Rmult_le_compat_l; [pose proof (Rmult_le_pos eps M ltac:(lra) HM); lra|].
apply Rplus_le_compat_r. apply Rle_trans with (1 := pow_le_exp (eps * Lam) k (Rmult_le_pos eps Lam ltac:(lra) HLam)).
apply exp_le. replace (INR k * (eps * Lam)) with (Lam * (INR k * eps)) by ring.
now apply Rmult_le_compat_l.
Qed.

Lemma error_grows eps : 0 < eps -> M * eps <= rho -> error_bound eps <= rho ->
  forall k, INR k * eps <= T -> norm (minus (descent G eps (w 0) k) (w (INR k * eps))) <= growing eps k.
Proof.
intros He Hr1 Hr2. induction k as [|k IH]; intros Hk.
- simpl. rewrite Rmult_0_l minus_eq_zero norm_zero. unfold growing; simpl; lra.
- rewrite S_INR in Hk |- *. replace ((INR k + 1) * eps) with (INR k * eps + eps) in * by ring.
  assert (H0 : 0 <= INR k * eps) by (apply Rmult_le_pos; [apply pos_INR|lra]).
  specialize (IH ltac:(lra)).
  assert (Hin : growing eps k <= rho) by (apply Rle_trans with (2 := Hr2), growing_le; lra).
  set (t := INR k * eps) in *. set (v := descent G eps (w 0) k) in *.
  assert (Hstep := error_of_one_step t eps H0 ltac:(lra) Hk Hr1).
  assert (HG := tube t v ltac:(lra) ltac:(lra)).
  change (descent G eps (w 0) (S k)) with (minus v (scal eps (G v))).
  rewrite (split_error v (scal eps (G v)) (w t) (scal eps (G (w t)))) -(scal_minus_distr_l eps (G v) (G (w t))).
  assert (Hold : norm (minus (minus v (w t)) (scal eps (minus (G v) (G (w t)))))
                 <= (1 + eps * Lam) * growing eps k).
  { unfold minus at 1. apply Rle_trans with (1 := norm_triangle _ _). rewrite norm_opp.
    apply Rle_trans with (norm (minus v (w t)) + Rabs eps * norm (minus (G v) (G (w t)))).
    { apply Rplus_le_compat_l, (norm_scal eps). }
    rewrite Rabs_pos_eq; [|lra].
    apply Rle_trans with ((1 + eps * Lam) * norm (minus v (w t))).
    - pose proof (Rmult_le_compat_l eps _ _ (Rlt_le _ _ He) HG).
      rewrite Rmult_plus_distr_r Rmult_1_l Rmult_assoc. now apply Rplus_le_compat_l.
    - apply Rmult_le_compat_l; [|exact IH]. pose proof (Rmult_le_pos eps Lam ltac:(lra) HLam). lra. }
  apply Rle_trans with (1 := norm_triangle _ _). rewrite norm_opp.
  apply Rle_trans with ((1 + eps * Lam) * growing eps k + Lam * M * eps ^ 2 / 2); [now apply Rplus_le_compat|].
  unfold growing. simpl. right; field.
Qed.

(* The finite-learning-rate bound, at the grid time N eps. *)
Theorem T1b_bound eps N :
  0 < eps -> INR N * eps <= T -> M * eps <= rho -> error_bound eps <= rho ->
  norm (minus (descent G eps (w 0) N) (w (INR N * eps))) <= error_bound eps.
Proof.
intros He HN Hr1 Hr2.
apply Rle_trans with (1 := error_grows eps He Hr1 Hr2 N HN). now apply growing_le.
Qed.

(* The same at the horizon, which the last step may fall short of by less than eps. *)
Corollary T1b_bound_at_horizon eps N :
  0 < eps -> INR N * eps <= T < (INR N + 1) * eps -> M * eps <= rho -> error_bound eps <= rho ->
  norm (minus (descent G eps (w 0) N) (w T)) <= error_bound eps + M * eps.
Proof.
intros He [HN HN'] Hr1 Hr2.
replace (minus (descent G eps (w 0) N) (w T)) with
  (plus (minus (descent G eps (w 0) N) (w (INR N * eps))) (opp (minus (w T) (w (INR N * eps))))).
- apply Rle_trans with (1 := norm_triangle _ _). rewrite norm_opp. apply Rplus_le_compat.
  + now apply T1b_bound.
  + assert (0 <= INR N * eps) by (apply Rmult_le_pos; [apply pos_INR|lra]).
    apply Rle_trans with (1 := path_Lipschitz T (INR N * eps) ltac:(lra) ltac:(lra)).
    apply Rmult_le_compat_l; [apply M_ge_0|lra].
- rewrite opp_minus. unfold minus. rewrite -plus_assoc. f_equal.
  now rewrite plus_assoc plus_opp_l plus_zero_l.
Qed.

(* The number of whole steps of length eps up to the horizon: floor (T / eps). *)
Definition steps (eps : R) : nat := Z.to_nat (Int_part (T / eps)).

Lemma steps_reach eps : 0 < eps -> INR (steps eps) * eps <= T < (INR (steps eps) + 1) * eps.
Proof.
intros He. assert (Hq : 0 < T / eps) by (apply Rdiv_lt_0_compat; lra).
destruct (base_Int_part (T / eps)) as [B1 B2].
assert (HZ : (0 <= Int_part (T / eps))%Z).
{ apply Z.lt_succ_r, lt_IZR. rewrite succ_IZR. lra. }
unfold steps. rewrite INR_IZR_INZ Z2Nat.id; [|exact HZ].
assert (E : T / eps * eps = T) by (field; lra).
split.
- rewrite -{2}E. apply Rmult_le_compat_r; lra.
- rewrite -{1}E. apply Rmult_lt_compat_r; lra.
Qed.

(* The limit of vanishing learning rate, at a fixed horizon. *)
Theorem T1b_limit : filterlim (fun eps => descent G eps (w 0) (steps eps)) (at_right 0) (locally (w T)).
Proof.
apply filterlim_locally; intros delta. assert (HM := M_ge_0). assert (Hd := cond_pos delta).
set (E := exp (Lam * T) - 1).
assert (HE : 0 <= E).
{ unfold E. rewrite -exp_0. apply Rge_le, Rge_minus, Rle_ge, exp_le, Rmult_le_pos; lra. }
(* C eps bounds all that has to be small *)
set (C := M / 2 * E + M + 1).
assert (HME : 0 <= M / 2 * E) by (apply Rmult_le_pos; lra).
assert (HC : 0 < C) by (unfold C; lra).
assert (Hm : 0 < Rmin rho delta) by (apply Rmin_pos; lra).
assert (He0 : 0 < Rmin rho delta / C) by (apply Rdiv_lt_0_compat; lra).
exists (mkposreal _ He0); intros eps Hb He.
assert (Hsmall : C * eps < Rmin rho delta).
{ assert (B : Rabs (eps - 0) < Rmin rho delta / C) by exact Hb.
  rewrite Rminus_0_r Rabs_pos_eq in B; [|lra].
  apply Rmult_lt_reg_l with (/ C); [now apply Rinv_0_lt_compat|].
  rewrite -Rmult_assoc Rinv_l; [|lra]. rewrite Rmult_1_l Rmult_comm. exact B. }
pose proof (Rmin_l rho delta); pose proof (Rmin_r rho delta).
assert (0 <= M * eps) by (apply Rmult_le_pos; lra).
assert (0 <= M / 2 * E * eps) by (apply Rmult_le_pos; lra).
assert (Eb : error_bound eps = M / 2 * E * eps) by (unfold error_bound, E; field).
assert (HCe : C * eps = M / 2 * E * eps + M * eps + eps) by (unfold C; ring).
apply (norm_compat1 (V := Vec n)).
apply Rle_lt_trans with (error_bound eps + M * eps); [|lra].
apply T1b_bound_at_horizon; [exact He|now apply steps_reach|lra|lra].
Qed.
End Convergence.
