(* The second fundamental theorem of calculus, in the form in which step P8 of the proof uses it.

   Coquelicot's own form, [is_RInt_derive], asks for a derivative that is continuous on the closed interval. Here
     - the function is continuous on [a, b], one-sided at the ends;
     - it has a derivative inside, except perhaps at finitely many times (where a batch is changed: R5a);
     - the derivative is Riemann integrable, and need not be continuous.
   Then the integral of the derivative is the change of the function.

   How: every subdivision gets the points of the mean value theorem as its tags; then the Riemann sum telescopes.

   Carries: P8. *)
From Coq Require Import Reals Lra Lia List.
From mathcomp Require Import ssreflect ssrbool seq.
From Coquelicot Require Import Coquelicot.
Open Scope R_scope.

(* ---------------------------------------------------------------- continuity on a closed interval *)

Definition continuous_on {U : UniformSpace} (a b : R) (h : R -> U) :=
  forall t, a <= t <= b -> filterlim h (within (fun s => a <= s <= b) (locally t)) (locally (h t)).

Lemma continuous_on_smaller {U : UniformSpace} (h : R -> U) a b c d :
  a <= c -> d <= b -> continuous_on a b h -> continuous_on c d h.
Proof.
intros Hac Hdb Hc t Ht.
apply filterlim_filter_le_1 with (2 := Hc t ltac:(lra)).
intros P [e He]; exists e; intros s Hs Hs'; apply He; [exact Hs|lra].
Qed.

Lemma continuous_continuous_on {U : UniformSpace} (h : R -> U) a b :
  (forall t, a <= t <= b -> continuous h t) -> continuous_on a b h.
Proof.
intros Hc t Ht P HP. destruct (Hc t Ht P HP) as [e He].
exists e; intros s Hs _; now apply He.
Qed.

(* the point of [a, b] next to t: it extends a function from [a, b] to the line *)
Definition clamp a b t := Rmax a (Rmin b t).

Lemma clamp_in a b t : a <= b -> a <= clamp a b t <= b.
Proof.
intros H; unfold clamp, Rmax, Rmin.
destruct (Rle_dec b t); destruct (Rle_dec _ _); lra.
Qed.

Lemma clamp_id a b t : a <= t <= b -> clamp a b t = t.
Proof.
intros H; unfold clamp, Rmax, Rmin.
destruct (Rle_dec b t); destruct (Rle_dec _ _); lra.
Qed.

Lemma clamp_is_1_Lipschitz a b s t : a <= b -> Rabs (clamp a b s - clamp a b t) <= Rabs (s - t).
Proof.
intros H; unfold clamp, Rmax, Rmin, Rabs.
destruct (Rle_dec b s); destruct (Rle_dec b t);
repeat (match goal with |- context [Rle_dec ?u ?v] => destruct (Rle_dec u v) end);
repeat (match goal with |- context [Rcase_abs ?u] => destruct (Rcase_abs u) end); lra.
Qed.

Lemma continuous_clamp {U : UniformSpace} (h : R -> U) a b :
  a <= b -> continuous_on a b h -> forall t, continuous (fun s => h (clamp a b s)) t.
Proof.
intros Hab Hc t. apply filterlim_locally; intros eps.
pose proof (Hc _ (clamp_in a b t Hab)) as H.
apply filterlim_locally with (eps := eps) in H. destruct H as [d Hd].
exists d; intros s Hs. apply Hd.
- apply Rle_lt_trans with (Rabs (s - t)); [apply (clamp_is_1_Lipschitz a b s t Hab)|exact Hs].
- now apply clamp_in.
Qed.

(* ---------------------------------------------------------------- the mean value theorem *)

Lemma mean_value (h dh : R -> R) a b :
  a <= b -> continuous_on a b h ->
  (forall t, a < t < b -> is_derive h t (dh t)) ->
  forall x y, a <= x <= y -> y <= b -> exists c, x <= c <= y /\ h y - h x = (y - x) * dh c.
Proof.
intros Hab Hc Hd x y Hx Hy.
destruct (Rle_lt_or_eq_dec x y) as [Hxy|Hxy]; [lra| |].
2: { exists x; subst; split; [lra|ring]. }
destruct (MVT_gen (fun s => h (clamp a b s)) x y dh) as [c [H1 H2]].
- rewrite Rmin_left ?Rmax_right; try lra. intros t Ht.
  apply is_derive_ext_loc with h; [|apply Hd; lra].
  assert (Hpos : 0 < Rmin (t - a) (b - t)) by (apply Rmin_pos; lra).
  exists (mkposreal _ Hpos); intros s Hs.
  assert (H : Rabs (s - t) < Rmin (t - a) (b - t)) by exact Hs.
  apply Rabs_lt_between in H.
  pose proof (Rmin_l (t - a) (b - t)); pose proof (Rmin_r (t - a) (b - t)).
  rewrite clamp_id; [reflexivity|lra].
- intros t _. apply continuity_pt_filterlim. now apply (continuous_clamp h a b).
- rewrite Rmin_left ?Rmax_right in H1; try lra. rewrite !clamp_id in H2; try lra.
  exists c; split; [exact H1|lra].
Qed.

(* ---------------------------------------------------------------- subdivisions whose sum telescopes *)

(* New tags for the same subdivision, such that the Riemann sum of dh is the change of h. *)
Lemma telescoping_tags (h dh : R -> R) (P : R -> Prop) :
  (forall x y, P x -> P y -> x <= y -> exists c, x <= c <= y /\ h y - h x = (y - x) * dh c) ->
  forall ptd : @SF_seq R, pointed_subdiv ptd -> (forall z, List.In z (SF_lx ptd) -> P z) ->
  exists ptd' : @SF_seq R, SF_lx ptd' = SF_lx ptd /\ pointed_subdiv ptd' /\
    Riemann_sum dh ptd' = h (last (SF_h ptd) (SF_lx ptd)) - h (SF_h ptd).
Proof.
intros HM ptd.
apply SF_cons_ind with (s := ptd) => {ptd} [x0 | [x0 y0] ptd IH] Hp Hin.
- exists (SF_nil x0); split; [reflexivity|split].
  + intros i Hi; inversion Hi.
  + unfold Riemann_sum; simpl; unfold zero; simpl; ring.
- destruct IH as [p' [E1 [E2 E3]]].
  + apply (ptd_cons (x0,y0)); exact Hp.
  + intros z Hz; apply Hin; right; exact Hz.
  + pose proof (Hp O ltac:(rewrite SF_size_cons; apply Nat.lt_0_succ)) as H0.
    rewrite SF_lx_cons in H0; simpl in H0.
    assert (Eh : SF_h p' = SF_h ptd) by (injection E1; auto).
    destruct (HM x0 (SF_h ptd)) as [c [Hc1 Hc2]];
      [apply Hin; left; reflexivity|apply Hin; right; left; reflexivity|lra|].
    exists (SF_cons (x0,c) p').
    rewrite !SF_lx_cons E1; split; [reflexivity|split].
    * intros i Hi; destruct i as [|i]; rewrite SF_lx_cons SF_ly_cons; simpl.
      { rewrite Eh; exact Hc1. }
      { apply (E2 i). rewrite SF_size_cons in Hi; apply Nat.succ_lt_mono, Hi. }
    * rewrite Riemann_sum_cons E3; simpl fst; simpl snd. rewrite Eh.
      unfold plus, scal; simpl; unfold mult; simpl. rewrite <- Hc2; ring.
Qed.

Lemma subdivision_between_its_ends (ptd : @SF_seq R) : pointed_subdiv ptd ->
  forall z, List.In z (SF_lx ptd) -> SF_h ptd <= z <= last (SF_h ptd) (SF_lx ptd).
Proof.
apply SF_cons_ind with (s := ptd) => {ptd} [x0 | [x0 y0] ptd IH] Hp z.
- simpl; intros [H|[]]; subst; lra.
- pose proof (Hp O ltac:(rewrite SF_size_cons; apply Nat.lt_0_succ)) as H0.
  rewrite SF_lx_cons in H0; simpl in H0.
  pose proof (IH (ptd_cons (x0,y0) _ Hp)) as IH'.
  assert (Hl : SF_h ptd <= last (SF_h ptd) (SF_lx ptd)) by (apply IH'; left; reflexivity).
  simpl last in *. intros [H|H].
  + simpl in H; subst; simpl; simpl in Hl. lra.
  + specialize (IH' z H); simpl in *; lra.
Qed.

(* ---------------------------------------------------------------- the theorem *)

Theorem integral_of_derivative_everywhere (h dh : R -> R) a b :
  a <= b -> continuous_on a b h ->
  (forall t, a < t < b -> is_derive h t (dh t)) ->
  ex_RInt dh a b ->
  is_RInt dh a b (h b - h a).
Proof.
intros Hab Hc Hd [I HI].
destruct (Rle_lt_or_eq_dec a b Hab) as [Hlt|Heq].
2: { subst b; replace (h a - h a) with (zero : R) by (unfold zero; simpl; ring).
     apply (@is_RInt_point R_NormedModule). }
replace (h b - h a) with I; [exact HI|].
apply Rminus_diag_uniq, Rabs_eq_0, Rle_antisym; [|apply Rabs_pos].
apply le_epsilon; intros eps Heps; rewrite Rplus_0_l; left.
destruct (proj1 (filterlim_locally _ _) HI (mkposreal eps Heps)) as [delta Hdelta].
assert (Hex : Riemann_fine a b (fun ptd => seq_step (SF_lx ptd) < delta /\ pointed_subdiv ptd /\
   SF_h ptd = Rmin a b /\ last (SF_h ptd) (SF_lx ptd) = Rmax a b)).
{ exists delta; intros p H1 H2; split; [exact H1|exact H2]. }
apply filter_ex in Hex. destruct Hex as [ptd [H1 [H2 [H3 H4]]]].
rewrite Rmin_left in H3; [|lra]. rewrite Rmax_right in H4; [|lra].
destruct (telescoping_tags h dh (fun z => a <= z <= b)) with (ptd := ptd) as [p [E1 [E2 E3]]].
- intros x y Hx Hy Hxy; apply (mean_value h dh a b); auto; lra.
- exact H2.
- intros z Hz. rewrite -H3 -H4. now apply subdivision_between_its_ends.
- assert (Eh : SF_h p = SF_h ptd) by (injection E1; auto).
  specialize (Hdelta p). rewrite E1 in Hdelta. specialize (Hdelta H1).
  rewrite H4 H3 in E3.
  rewrite Rmin_left in Hdelta; [|lra]. rewrite Rmax_right in Hdelta; [|lra].
  specialize (Hdelta (conj E2 (conj (eq_trans Eh H3)
    (eq_trans (f_equal (fun z => last z (SF_lx ptd)) Eh) H4)))).
  rewrite E3 sign_eq_1 in Hdelta; [|lra]. rewrite scal_one in Hdelta.
  apply Rle_lt_trans with (2 := Hdelta). rewrite Rabs_minus_sym. apply Rle_refl.
Qed.

Theorem integral_of_derivative (exceptions : list R) (h dh : R -> R) a b :
  a <= b -> continuous_on a b h ->
  (forall t, a < t < b -> ~ In t exceptions -> is_derive h t (dh t)) ->
  ex_RInt dh a b ->
  is_RInt dh a b (h b - h a).
Proof.
revert a b; induction exceptions as [|c l IH]; intros a b Hab Hc Hd Hi.
- apply integral_of_derivative_everywhere; auto.
- destruct (Rlt_dec a c) as [Hac|Hac]; [destruct (Rlt_dec c b) as [Hcb|Hcb]|].
  + (* c cuts the interval in two *)
    replace (h b - h a) with (plus (h c - h a) (h b - h c)) by (unfold plus; simpl; ring).
    apply (@is_RInt_Chasles R_NormedModule) with c; apply IH; try lra.
    * apply (continuous_on_smaller h a b); auto; lra.
    * intros t Ht Hn; apply Hd; [lra|]. intros [E|E]; [lra|auto].
    * apply (@ex_RInt_Chasles_1 R_CompleteNormedModule) with b; auto; lra.
    * apply (continuous_on_smaller h a b); auto; lra.
    * intros t Ht Hn; apply Hd; [lra|]. intros [E|E]; [lra|auto].
    * apply (@ex_RInt_Chasles_2 R_CompleteNormedModule) with a; auto; lra.
  + apply IH; auto. intros t Ht Hn; apply Hd; auto. intros [E|E]; [lra|auto].
  + apply IH; auto. intros t Ht Hn; apply Hd; auto. intros [E|E]; [lra|auto].
Qed.
